"""Spans of runs and of connections, for whoever follows one piece of work across systems."""
