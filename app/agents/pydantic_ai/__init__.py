"""Models and their tools, driven by pydantic-ai: the only package that imports it (extra `agent`)."""

import pydantic_ai

from app.agents.pydantic_ai.agent import ModelAgent as ModelAgent

pydantic_ai.BANNER_ENABLED = False  # the terminal belongs to the server's log
