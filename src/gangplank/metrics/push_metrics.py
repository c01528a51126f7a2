"""How pushing itself fares, as metrics."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class PushMetrics(Collector):
    """How many pushes failed, and when the last one succeeded. Shows nothing before the first.

    Arguments:
        prefix: begins the metrics' names.

    Attributes:
        failures: how many attempts at a push have failed, over all runs; None before the first
            run that pushes.
        succeeded: the time of the last push that succeeded, seconds since the epoch.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.failures: int | None = None
        self.succeeded: float | None = None

    def begin(self) -> None:
        """A run begins that pushes."""
        if self.failures is None:
            self.failures = 0

    def note_failure(self) -> None:
        """A push has failed."""
        self.failures = (self.failures or 0) + 1

    def collect(self) -> Iterable[Metric]:
        return self.families(self.succeeded)

    def families(self, succeeded: float | None) -> list[Metric]:
        """The metrics as they are when a push succeeds at the time `succeeded`."""
        families: list[Metric] = []
        if self.failures is not None:
            families.append(self._failures(self.failures))
        if succeeded is not None:
            families.append(self._succeeded(succeeded))
        return families

    def describe(self) -> Iterable[Metric]:
        return [self._failures(), self._succeeded()]

    def _failures(self, value: float | None = None) -> Metric:
        text = "Attempts to push the metrics that failed."
        return CounterMetricFamily(f"{self._prefix}push_failures", text, value)

    def _succeeded(self, value: float | None = None) -> Metric:
        text = "When the metrics were last pushed, in seconds since the epoch."
        name = f"{self._prefix}last_push_success_timestamp_seconds"
        return GaugeMetricFamily(name, text, value)
