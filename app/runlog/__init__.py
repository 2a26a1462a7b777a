"""Where events are kept: the RunLog port, its backends, and the cursor that reads them."""
