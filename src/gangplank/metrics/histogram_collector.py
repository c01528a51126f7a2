"""A Prometheus collector that is handed what it shows, and shows it as a whole."""

import reprlib
import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gangplank.metrics.histogram_family import BucketCounts, histogram_family, is_native
from gangplank.weights import NativeWeightsHistogram


class HistogramCollector(Collector):
    """A Prometheus histogram whose bucket counts are set, not observed.

    Of a histogram by bounds it prints what `prometheus_client.Histogram` prints after observing
    the same values one by one, less ``_sum``, which is not known here (and which neither prints
    with a negative first bound; OpenMetrics then wants no ``_count`` either, but Prometheus takes
    it). A Pushgateway shows the missing ``_sum`` as 0, so that there ``_sum / _count`` is no mean.
    Of a native one the protobuf format shows all, and text one bucket, the sum and the count, which
    prometheus_client's plain text has under the bare name too. A scrape sees one whole histogram,
    also while another thread sets the next.

    Arguments:
        name: the metric's name, such as ``my_model_weights``.
        documentation: its help text.
        registry: where to register; nowhere if None.

    Raises:
        ValueError: `registry` has a metric of this name already.
    """

    def __init__(
        self, name: str, documentation: str, registry: CollectorRegistry | None = None
    ) -> None:
        self.name = name
        self.documentation = documentation
        self._metric: Metric | None = None
        if registry is not None:
            registry.register(self)

    def set(self, histogram: BucketCounts | NativeWeightsHistogram) -> None:
        """Shows `histogram` from now on, created now: its buckets may be lower than before.

        Raises:
            TypeError: it is no histogram.
        """
        if not callable(getattr(histogram, "samples", None)):
            raise TypeError(
                "histogram must be a WeightsHistogram or a NativeWeightsHistogram, such as "
                f"gangplank.weights_histogram gives. Received {reprlib.repr(histogram)}."
            )
        no_labels: dict[str, str] = {}
        self._metric = histogram_family(
            self.name, self.documentation, [(no_labels, [histogram])], time.time()
        )

    def clear(self) -> None:
        """Shows nothing until the next `set`."""
        self._metric = None

    def collect(self) -> Iterable[Metric]:
        """The histogram, or nothing before the first `set`."""
        metric = self._metric
        return [] if metric is None else [metric]

    def describe(self) -> Iterable[Metric]:
        """The metric without samples, by which a registry refuses a second one of that name."""
        return [HistogramMetricFamily(self.name, self.documentation)]

    def __repr__(self) -> str:
        metric, shown = self._metric, "nothing"
        if metric is not None:
            counts = [sample.value for sample in metric.samples if sample.name.endswith("_bucket")]
            buckets = "native" if is_native(metric) else len(counts)
            shown = f"{counts[-1]} values in {buckets} buckets"
        return f"HistogramCollector({self.name!r}, shows {shown})"
