"""Runcast: an event-streaming gateway for AI-agent runs."""
