"""Prometheus collectors that are handed what they show, and show it as a whole."""

import time
from collections.abc import Iterable
from typing import Protocol

import prometheus_client
from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class BucketCounts(Protocol):
    """What a histogram is to its collector; `gangplank.WeightsHistogram` is one."""

    def samples(self) -> list[tuple[float, int]]:
        """Each upper bound, +inf the last, and how many values are at most that."""


class HistogramCollector(Collector):
    """A Prometheus histogram whose bucket counts are set, not observed.

    It prints what `prometheus_client.Histogram` prints after observing the same values one by
    one, less ``_sum``, which is not known here (and which neither prints with a negative
    first bound; OpenMetrics then wants no ``_count`` either, but Prometheus takes it). A
    Pushgateway shows the missing ``_sum`` as 0, so that there ``_sum / _count`` is no mean. A
    scrape sees one whole histogram, also while another thread sets the next.

    Arguments:
        name: the metric's name, such as ``my_model_weights``.
        documentation: its help text.
        registry: where to register; nowhere if None.
    """

    def __init__(
        self, name: str, documentation: str, registry: CollectorRegistry | None = None
    ) -> None:
        self.name = name
        self.documentation = documentation
        self._metric: HistogramMetricFamily | None = None
        if registry is not None:
            registry.register(self)

    def set(self, histogram: BucketCounts) -> None:
        """Shows `histogram` from now on, created now: its buckets may be lower than before."""
        metric = self._empty()
        buckets = [(_le(bound), count) for bound, count in histogram.samples()]
        metric.add_metric([], buckets, sum_value=None)
        # The family itself adds a count only beside a sum, and a sum is not to be had with
        # a negative first bound: a Pushgateway would show a count of 0.
        metric.add_sample(f"{self.name}_count", {}, buckets[-1][1])
        if _exposes_created():
            metric.add_sample(f"{self.name}_created", {}, time.time())
        self._metric = metric

    def clear(self) -> None:
        """Shows nothing until the next `set`."""
        self._metric = None

    def collect(self) -> Iterable[Metric]:
        """The histogram, or nothing before the first `set`."""
        metric = self._metric
        return [] if metric is None else [metric]

    def describe(self) -> Iterable[Metric]:
        """The metric without samples, by which a registry refuses a second one of that name."""
        return [self._empty()]

    def __repr__(self) -> str:
        metric, shown = self._metric, "nothing"
        if metric is not None:
            counts = [sample.value for sample in metric.samples if sample.name.endswith("_bucket")]
            shown = f"{counts[-1]} values in {len(counts)} buckets"
        return f"HistogramCollector({self.name!r}, shows {shown})"

    def _empty(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self.documentation)


def _le(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def _exposes_created() -> bool:
    # prometheus_client has functions to turn this on and off, but none to ask.
    return bool(getattr(prometheus_client.metrics, "_use_created", True))
