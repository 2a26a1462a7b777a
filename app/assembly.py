"""The parts behind the registry, put together: each knows the others that it needs, and no more."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from app.capacity import Capacity, RunPlaces, Seats
from app.dialects.base import Dialect
from app.hosting.attendance import Attendance
from app.hosting.commanding import Commands
from app.hosting.deleting import Deletions
from app.hosting.elsewhere import Elsewhere
from app.hosting.ending import Stores
from app.hosting.host import Hosting
from app.hosting.limits import RunLimits
from app.hosting.membership import Membership
from app.hosting.sweeping import Sweep
from app.hosting.telling import Teller
from app.hosts.base import Alone, Fleet
from app.oversight import Oversight
from app.readiness import Readiness
from app.uploads.desk import Uploads
from app.viewing.audience import Audience


@frozen
class Parts:
    """What a registry is made of."""

    stores: Stores
    uploads: Uploads
    readiness: Readiness
    oversight: Oversight
    audience: Audience
    hosting: Hosting
    commands: Commands
    places: RunPlaces
    deletions: Deletions
    sweep: Sweep


def assemble(
    stores: Stores,
    uploads: Uploads,
    dialects: Mapping[str, Dialect],
    *,
    limits: RunLimits,
    capacity: Capacity | None = None,
    disconnect_grace: float,
    fleet: Fleet | None = None,
) -> Parts:
    """Make the parts of one process, which joins its fleet.

    Args:
        stores: where logs and rows are kept.
        uploads: where files are kept.
        dialects: by name.
        limits: what a run may take.
        capacity: how many runs and viewers there may be.
        disconnect_grace: seconds without a viewer after which a run that asked for it is cancelled (P3.11).
        fleet: the processes that are one gateway with this one; none, by default.
    """
    fleet, capacity = fleet or Alone(), capacity or Capacity()
    rows, measures = stores.sessions, stores.telemetry.measures

    def left(run_id: str) -> None:
        hosting.stop(run_id, "every viewer has left")

    def count(viewed: str, viewers: int) -> None:
        attendance.count(viewed, viewers)
        fleet.viewed(viewed, viewers)

    attendance = Attendance(disconnect_grace, left, fleet.viewed_elsewhere if fleet.shared else None)
    audience = Audience(
        stores.log, rows, dialects, measures, seats=Seats(capacity), on_count=count, shared=fleet.shared
    )
    elsewhere, tell = Elsewhere(fleet, rows), Teller(audience.sessions, fleet)
    hosting = Hosting(stores, elsewhere, tell, limits, attendance)
    commands = Commands(hosting, elsewhere)
    deletions = Deletions(stores, uploads, hosting, elsewhere, tell, audience)
    fleet.join(Membership(hosting, commands, audience, rows))
    return Parts(
        stores,
        uploads,
        Readiness(stores, fleet),
        Oversight(rows, measures, stores.telemetry.siblings),
        audience,
        hosting,
        commands,
        RunPlaces(capacity, hosting.sessions),
        deletions,
        Sweep(stores, fleet, hosting, deletions, audience),
    )
