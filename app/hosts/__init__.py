"""The processes that together are one gateway: how they reach each other."""
