"""What so many viewers need, from what an event, a delivery, a viewer and a run cost.

Sums, no simulation: each need is what all viewers ask of one kind of resource, in units of what one process, one
Valkey or the one PostgreSQL has of it. What these sums leave out is said in bench/README.md.
"""

from __future__ import annotations

import math

from attrs import frozen
from measured import Costs, PostgresCosts, ProcessCosts, ValkeyCosts

MICRO = 1e-6
ONE_PROCESS = 500
"""Viewers of one run that a single process can be relied on to show."""
_TOO_MANY = 10**10
SHARD_CONNECTIONS = 3
"""Of each process to each Valkey: for what changes, what reads, and what is published."""
MEETING_CONNECTIONS = 2
"""More of them to the first one, where processes meet."""


@frozen
class Workload:
    """What the viewers do; all of them follow a run in progress.

    Attributes:
        per_run: how many of them follow the same run.
        rate: events a second of each run.
        run_seconds: how long a run takes.
        stay_seconds: how long a viewer stays attached before it comes again.
        message_bytes: of one message on the wire, with all headers.
        near: the share of viewers that a router sends to the process that executes their run; all others are spread,
            and those of a run that is viewed by more than ONE_PROCESS.
    """

    viewers: float
    per_run: float = 10
    rate: float = 20
    run_seconds: float = 30
    stay_seconds: float = 600
    message_bytes: float = 180
    near: float = 0

    @property
    def runs(self) -> float:
        """How many are in progress."""
        return self.viewers / self.per_run

    @property
    def spread(self) -> float:
        """How many viewers of a run may come to any process."""
        return self.per_run * (1 - self.near) if self.per_run <= ONE_PROCESS else self.per_run


@frozen
class Room:
    """What one of each may be asked.

    Attributes:
        busy: the share of a core that a process or a Valkey is planned to use.
        process_viewers, process_runs: RUNCAST_MAX_VIEWERS and RUNCAST_MAX_RUNS.
        process_mib, process_mbit: memory and network of a process.
        valkey_mib, valkey_mbit, valkey_clients: the same, and connections, of a Valkey.
        rows_cores, rows_clients: cores and connections of the PostgreSQL.
        pool: RUNCAST_DATABASE_POOL.
    """

    busy: float = 0.6
    process_viewers: float = 10_000
    process_runs: float = 500
    process_mib: float = 2048
    process_mbit: float = 1000
    valkey_mib: float = 16_384
    valkey_mbit: float = 10_000
    valkey_clients: float = 10_000
    rows_cores: float = 16
    rows_clients: float = 1000
    pool: float = 10


@frozen
class Need:
    """What is needed of a resource.

    Attributes:
        units: how many times what one has.
        divisible: whether it can be had as often as one likes.
    """

    name: str
    units: float
    divisible: bool = True


@frozen
class Plan:
    """What a workload needs.

    Attributes:
        processes, shards: how many, of the gateway and of Valkey.
        followers: other processes that follow a run, on average.
        out_mbit: to all viewers.
        rows_writes: transactions a second that PostgreSQL writes.
        memory_kib: of all viewers.
    """

    workload: Workload
    processes: int
    shards: int
    followers: float
    out_mbit: float
    rows_writes: float
    memory_kib: float
    process_needs: tuple[Need, ...]
    valkey_needs: tuple[Need, ...]
    needs: tuple[Need, ...]

    @property
    def obstacles(self) -> list[Need]:
        """What is there once, and would have to be there more often; the worst first."""
        over = [need for need in self.needs if not need.divisible and need.units > 1]
        return sorted(over, key=lambda need: need.units, reverse=True)

    @property
    def bottleneck(self) -> Need:
        """The worst obstacle; without any, what most is needed of."""
        divisible = (need for need in self.needs if need.divisible)
        return self.obstacles[0] if self.obstacles else max(divisible, key=lambda need: need.units)


def plan(costs: Costs, workload: Workload, room: Room) -> Plan:
    """Several processes on Valkey and PostgreSQL.

    Raises:
        ValueError: each process takes more for being there than it has.
    """
    processes = 1
    while (more := _count(needs := _process_needs(costs, workload, room, processes))) > processes:
        if more > _TOO_MANY:
            raise ValueError("with these costs no number of processes is enough")
        processes = more  # more processes follow more of each other's runs, which may take more of them
    followers = followers_of(workload, processes)
    valkey = _valkey_needs(costs.valkey, workload, room, processes, followers)
    rows = _rows_needs(costs.postgresql, workload, room, processes)
    return Plan(
        workload=workload,
        processes=processes,
        shards=min(_count(valkey), math.ceil(workload.runs)),  # a run is on one of them
        followers=followers,
        out_mbit=_mbit(workload.viewers * workload.rate * workload.message_bytes),
        rows_writes=workload.runs / workload.run_seconds * costs.postgresql.run_writes,
        memory_kib=workload.viewers * costs.shared.viewer_kib,
        process_needs=needs,
        valkey_needs=valkey,
        needs=(*needs, *valkey, *rows),
    )


def followers_of(workload: Workload, processes: int) -> float:
    """In how many processes, besides its own, a run has viewers if those come to any with the same chance."""
    if processes == 1:
        return 0
    return (processes - 1) * -math.expm1(workload.spread * math.log1p(-1 / processes))


def cpu_of(costs: ProcessCosts, workload: Workload, followers: float = 0) -> float:
    """Cores that a workload keeps busy, save what each process takes for being there."""
    runs, rate = workload.runs, workload.rate
    executed = runs * (costs.open_us + rate * costs.event_us) + runs / workload.run_seconds * costs.run_us
    shown = workload.viewers * (rate * costs.delivery_us + costs.attach_us / workload.stay_seconds)
    followed = runs * followers * (costs.follow_us + rate * costs.follow_event_us)
    return (executed + shown + followed) * MICRO


def _process_needs(costs: Costs, workload: Workload, room: Room, processes: int) -> tuple[Need, ...]:
    cpu = cpu_of(costs.shared, workload, followers_of(workload, processes)) + processes * costs.shared.idle_us * MICRO
    out = _mbit(workload.viewers * workload.rate * workload.message_bytes)
    return (
        Need("CPU of the processes", cpu / room.busy),
        Need("RUNCAST_MAX_VIEWERS", workload.viewers / room.process_viewers),
        Need("RUNCAST_MAX_RUNS", workload.runs / room.process_runs),
        Need("memory of the processes", workload.viewers * costs.shared.viewer_kib / 1024 / room.process_mib),
        Need("network of the processes", out / room.process_mbit),
    )


def _valkey_needs(
    costs: ValkeyCosts, workload: Workload, room: Room, processes: int, followers: float
) -> tuple[Need, ...]:
    runs, rate = workload.runs, workload.rate
    one_run = costs.open_us + rate * costs.event_us + followers * (costs.follow_us + rate * costs.follow_event_us)
    cpu = runs * (one_run + costs.run_us / workload.run_seconds) * MICRO
    out = rate * (costs.event_out_bytes + followers * costs.follow_event_out_bytes)
    held = runs * rate * workload.run_seconds * costs.event_memory_bytes
    clients = processes * (SHARD_CONNECTIONS + MEETING_CONNECTIONS)
    return (
        Need("CPU of the Valkeys", cpu / room.busy),
        Need("network of the Valkeys", _mbit(runs * max(out, rate * costs.event_in_bytes)) / room.valkey_mbit),
        Need("memory of the Valkeys", held / 2**20 / room.valkey_mib),
        Need("CPU of the Valkey where processes meet", processes * costs.idle_us * MICRO / room.busy, divisible=False),
        Need("CPU of one run's Valkey", one_run * MICRO / room.busy, divisible=False),
        Need("network of one run's Valkey", _mbit(out) / room.valkey_mbit, divisible=False),
        Need("connections of a Valkey", clients / room.valkey_clients, divisible=False),
    )


def _rows_needs(costs: PostgresCosts, workload: Workload, room: Room, processes: int) -> tuple[Need, ...]:
    begun, come = workload.runs / workload.run_seconds, workload.viewers / workload.stay_seconds
    cpu = (begun * costs.run_us + come * costs.attach_us + processes * costs.idle_us) * MICRO
    return (
        Need("CPU of the PostgreSQL", cpu / room.busy / room.rows_cores, divisible=False),
        Need("connections of the PostgreSQL", processes * room.pool / room.rows_clients, divisible=False),
    )


def _count(needs: tuple[Need, ...]) -> int:
    return max(1, *(math.ceil(need.units) for need in needs if need.divisible))


def _mbit(bytes_a_second: float) -> float:
    return bytes_a_second * 8 / 1e6
