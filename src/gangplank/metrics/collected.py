"""Metrics that are there already, as a collector."""

from collections.abc import Iterable

from prometheus_client.core import Metric
from prometheus_client.registry import Collector


class Collected(Collector):
    """Metrics as they were when they were collected."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families
