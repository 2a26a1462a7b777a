"""Routes about the process itself: what it offers, and whether it is well."""

from __future__ import annotations

from typing import Final

from litestar import get

from app.errors import Draining, NotReady
from app.transports.access_log import PROBE
from app.transports.auth.authenticator import OPEN
from app.transports.bodies import Health, ProfileList, ProfileView
from app.transports.operations import OpenOperationSpec, OperationSpec
from app.transports.parameters import Registry
from app.transports.problems import declared, declared_open

_WELL: Final = Health(status="ok")


@get(
    "/profiles",
    operation_class=OperationSpec,
    operation_id="listProfiles",
    summary="List profiles",
    tags=["sessions"],
    responses=declared(),
)
async def list_profiles(registry: Registry) -> ProfileList:
    """The agents that can be talked to."""
    default = registry.profiles.default.name
    views = [
        ProfileView(name=profile.name, description=profile.description, default=profile.name == default)
        for profile in registry.profiles
    ]
    return ProfileList(items=views, next=None)


@get(
    "/health/live",
    operation_id="healthLive",
    summary="Is the process alive?",
    tags=["operations"],
    operation_class=OpenOperationSpec,
    opt={**PROBE, **OPEN},
)
async def live() -> Health:
    """Answers as long as the process does."""
    return _WELL


@get(
    "/health/ready",
    operation_id="healthReady",
    summary="Can the process serve?",
    tags=["operations"],
    operation_class=OpenOperationSpec,
    opt={**PROBE, **OPEN},
    responses=declared_open(Draining, NotReady),
)
async def ready(registry: Registry) -> Health:
    """Answers 200 while the stores answer within two seconds and the process is not shutting down, else 503."""
    await registry.check()
    return _WELL
