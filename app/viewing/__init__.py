"""Who follows runs: what viewers of the same thing share, and what each of them has of its own."""
