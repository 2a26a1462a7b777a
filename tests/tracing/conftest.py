"""The server process that these tests talk to."""

from tests.gateway import launch

__all__ = ["launch"]
