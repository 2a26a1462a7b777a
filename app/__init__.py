"""Runcast: an event-streaming gateway for AI-agent runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from litestar import Litestar


def create_app() -> Litestar:
    """The application as the environment asks for it; `litestar run` and ASGI servers find it here.

    Raises:
        ConfigurationError: the settings or the profiles are wrong.
    """
    from app.main import create_app as compose  # noqa: PLC0415 - an agent that imports app.events needs no server

    return compose()
