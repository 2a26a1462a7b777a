"""What a monitoring system makes of `/metrics`, by the parsers of Prometheus's own client."""

import httpx
from attrs import frozen
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families


@frozen
class Scrape:
    """The samples of one answer; counters count from an earlier one, if there is one to count from."""

    families: tuple[Metric, ...]
    since: "Scrape | None" = None

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of the samples that have these labels, among others."""
        now = sum(
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )
        counted = name.endswith(("_total", "_count", "_sum", "_bucket"))
        return now - self.since(name, **labels) if self.since and counted else now

    def label_values(self) -> set[str]:
        return {value for family in self.families for sample in family.samples for value in sample.labels.values()}


async def scrape(http: httpx.AsyncClient, since: Scrape | None = None) -> Scrape:
    answer = (await http.get("/metrics")).raise_for_status()
    return Scrape(tuple(text_string_to_metric_families(answer.text)), since)
