"""The process's numbers as families of Prometheus. The names are the table in docs/how-to/monitoring.md."""

from __future__ import annotations

import asyncio
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from itertools import accumulate
from typing import Final

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from app.measures import Histogram, Measures
from app.siblings import Siblings

Values = Iterable[tuple[tuple[str, ...], float]]
Families = list[tuple[str, str, str, str, list[tuple[str, dict[str, str], float]]]]
"""Families as workers tell them each other: name, meaning, kind, unit, and the samples' names, labels and values."""

NUMBERS: Final = "numbers"

_BUILD: Final = InfoMetricFamily(
    "runcast_build", "What is running.", value={"version": version("runcast"), "python": platform.python_version()}
)
_SHARES: Final = (0.5, 0.9, 0.99, 1)
_VIEWERS: Final = ("transport", "dialect")


class Exposition:
    """The numbers of one process, or of all workers behind its port, written when they are asked for.

    Args:
        measures: what this process has counted.
        siblings: the other workers; with them, every sample has a label `worker`.
    """

    def __init__(self, measures: Measures, siblings: Siblings | None = None) -> None:
        self._measures = measures
        self._siblings = siblings
        self._process = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)

    async def text(self, accept: str) -> tuple[bytes, str]:
        """All there is, in the format that the header `accept` asks for, and its content type."""
        encode, content_type = choose_encoder(accept)
        if self._siblings is None:
            return await asyncio.to_thread(encode, self._snapshot()), content_type
        own, others = await asyncio.gather(self.families(), self._siblings.ask(NUMBERS, Families))
        merged = _Merged({self._siblings.number: own} | others)
        return await asyncio.to_thread(encode, merged), content_type

    async def families(self) -> Families:
        """This process's numbers, for another worker."""
        return await asyncio.to_thread(_told, self._snapshot())

    def _snapshot(self) -> _Snapshot:
        return _Snapshot(tuple(_families(self._measures)), self._process)  # in the loop, where they are counted


class _Snapshot(Collector):
    """Our numbers as they were, and the process's, which are files to be read when they are written."""

    def __init__(self, ours: Iterable[Metric], process: CollectorRegistry) -> None:
        self._ours = ours
        self._process = process

    def collect(self) -> Iterator[Metric]:
        yield from self._ours
        yield from self._process.collect()


class _Merged(Collector):
    """The numbers of several workers, each sample with its worker's."""

    def __init__(self, told: Mapping[int, Families]) -> None:
        self._told = told

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for worker, families in sorted(self._told.items()):
            for name, meaning, kind, unit, samples in families:
                family = merged.setdefault(name, Metric(name, meaning, kind, unit))
                for sample, labels, value in samples:
                    family.add_sample(sample, {"worker": str(worker), **labels}, value)
        yield from merged.values()


def _told(snapshot: Collector) -> Families:
    return [
        (each.name, each.documentation, each.type, each.unit, [(*sample[:2], sample.value) for sample in each.samples])
        for each in snapshot.collect()
    ]


def _families(counted: Measures) -> Iterator[Metric]:
    yield _BUILD
    yield from _runs(counted)
    by_type = [((_snake(kind.__name__),), count) for kind, count in counted.events.items()]
    yield _counter("events", "Events appended to logs.", ("type",), by_type)
    yield _histogram("commit_seconds", "Time that commits of the event log took.", counted.commits)
    yield from _viewers(counted)
    rejected = counted.rejected.items()
    yield _counter("rejected", "Requests and commands that were refused.", ("door", "code"), rejected)
    if (loop := counted.loop) is not None:
        yield _gauge("loop_lag_seconds", "How late the event loop last was.", (), [((), loop.lag)])
        yield _counter("loop_stalls", "How often it was late by more than a second.", (), [((), loop.stalls)])
        yield _counter("loop_stalled_seconds", "For how long in all.", (), [((), loop.stalled)])


def _runs(counted: Measures) -> Iterator[Metric]:
    now = [(("running",), counted.running), (("queued",), counted.queued())]
    yield _gauge("runs", "Runs that are executed or wait for their turn now.", ("state",), now)
    yield _counter("runs_ended", "Runs that have ended.", ("status", "code"), counted.ended.items())
    yield _histogram("run_duration_seconds", "From a run's turn to its end.", counted.run_seconds)
    yield _histogram("time_to_first_event_seconds", "From a run's turn to its first event.", counted.first_event)
    said = "From a run's turn to the first event that is its agent's."
    yield _histogram("time_to_first_agent_event_seconds", said, counted.first_said)


def _viewers(counted: Measures) -> Iterator[Metric]:
    now = dict.fromkeys(counted.viewed, 0)
    sent = now | counted.sent
    for viewer in counted.viewers:
        now[viewer.transport, viewer.dialect] += 1
        sent[viewer.transport, viewer.dialect] += viewer.sent
    yield _gauge("viewers", "Viewers that are connected now.", _VIEWERS, now.items())
    yield _counter("viewers_attached", "Viewers that connected.", _VIEWERS, counted.viewed.items())
    yield _counter("messages_sent", "Messages handed to viewers' connections.", _VIEWERS, sent.items())
    lag = _quantiles([viewer.behind() for viewer in counted.viewers])
    yield _gauge("viewer_lag_events", "Events that connected viewers have still to be given.", ("quantile",), lag)
    yield _counter("gaps", "Positions that could not be honoured.", (), [((), counted.gaps)])
    resumes = [((transport,), count) for transport, count in counted.resumes.items()]
    yield _counter("resumes", "Viewers that connected with a position to resume after.", ("transport",), resumes)
    yield _counter("cuts", "Viewers whose stream the server cut.", ("transport", "reason"), counted.cuts.items())


def _quantiles(values: list[int]) -> Values:
    ranked = sorted(values) or [0]
    return [((str(share),), ranked[round(share * (len(ranked) - 1))]) for share in _SHARES]


def _gauge(name: str, meaning: str, labels: tuple[str, ...], values: Values) -> Metric:
    family = GaugeMetricFamily(f"runcast_{name}", meaning, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _counter(name: str, meaning: str, labels: tuple[str, ...], values: Values) -> Metric:
    family = CounterMetricFamily(f"runcast_{name}", meaning, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _histogram(name: str, meaning: str, histogram: Histogram) -> Metric:
    bounds = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(f"runcast_{name}", meaning, buckets=buckets, sum_value=histogram.sum)


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
