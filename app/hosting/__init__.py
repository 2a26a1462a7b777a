"""Who executes runs: accepting them, performing them in their turn, ending them whatever happens."""
