"""Who speaks: the agent port, and the agents that come with Runcast."""
