"""The server process that these tests talk to."""

from tests.gateway import gateway, launch

__all__ = ["gateway", "launch"]
