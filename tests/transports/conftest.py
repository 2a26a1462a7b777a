"""The server processes that these tests talk to."""

from tests.callers import guarded
from tests.gateway import gateway, launch

__all__ = ["gateway", "guarded", "launch"]
