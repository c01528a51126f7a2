"""Families of histograms whose counts are known, classic ones and native ones."""

from collections.abc import Iterable, Mapping, Sequence
from operator import sub
from typing import Protocol

import prometheus_client
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.samples import BucketSpan, NativeHistogram
from prometheus_client.utils import floatToGoString

from gangplank.weights import NativeWeightsHistogram

# As Prometheus's Go client does: the counts of so many empty buckets are no longer than a new span.
_GAP = 2


class BucketCounts(Protocol):
    """What a histogram is to its collector; `gangplank.WeightsHistogram` is one."""

    def samples(self) -> list[tuple[float, int]]:
        """Each upper bound, +inf the last, and how many values are at most that."""


def histogram_family(
    name: str,
    documentation: str,
    series: Iterable[tuple[Mapping[str, str], Sequence[BucketCounts | NativeWeightsHistogram]]],
    created: float,
) -> Metric:
    """The family of the histograms that have these labels, shown since the time `created`.

    With each labels there is one, or a native one and a classic one of the same values.

    In text, which has no native histograms but for OpenMetrics 2.0, such a one has a single bucket.
    """
    family = HistogramMetricFamily(name, documentation)
    for labels, histograms in series:
        native = next((h for h in histograms if isinstance(h, NativeWeightsHistogram)), None)
        classic = next((h for h in histograms if not isinstance(h, NativeWeightsHistogram)), native)
        assert classic is not None
        buckets = classic.samples()
        if native is not None:
            sample = native_sample(native)
            family.add_sample(name, dict(labels), native.count, native_histogram=sample)
        for bound, count in buckets:
            family.add_sample(f"{name}_bucket", {**labels, "le": _le(bound)}, count)
        # The family itself adds a count only beside a sum, and a sum is not to be had with
        # a negative first bound: a Pushgateway would show a count of 0.
        family.add_sample(f"{name}_count", dict(labels), buckets[-1][1])
        if native is not None and buckets[0][0] >= 0:
            family.add_sample(f"{name}_sum", dict(labels), native.sum)
        if _exposes_created() and classic is not native:
            family.add_sample(f"{name}_created", dict(labels), created)
    return family


def is_native(family: Metric) -> bool:
    """Whether a family has what text cannot express."""
    return any(sample.native_histogram is not None for sample in family.samples)


def without_native(family: Metric) -> Metric:
    """What text can express of a family."""
    rest = Metric(family.name, family.documentation, family.type)
    rest.samples = [sample for sample in family.samples if sample.native_histogram is None]
    return rest


def native_sample(histogram: NativeWeightsHistogram) -> NativeHistogram:
    """A native histogram as prometheus_client has it in its samples."""
    positive_spans, positive_deltas = _spans(histogram.positive)
    negative_spans, negative_deltas = _spans(histogram.negative)
    return NativeHistogram(
        count_value=histogram.count,
        sum_value=histogram.sum,
        schema=histogram.schema,
        zero_threshold=histogram.zero_threshold,
        zero_count=histogram.zero_count,
        pos_spans=positive_spans,
        neg_spans=negative_spans,
        pos_deltas=positive_deltas,
        neg_deltas=negative_deltas,
    )


def _spans(side: Mapping[int, int]) -> tuple[list[BucketSpan], list[int]]:
    """Runs of buckets, each by its distance from the one before and its length; and their counts,
    each less the one before.
    """
    runs: list[tuple[int, int]] = []  # the distance of each, and how many counts come before it
    counts: list[int] = []
    end = 0  # of the last run
    for index, count in side.items():
        gap = index - end
        if not counts or gap > _GAP:
            runs.append((gap, len(counts)))
        elif gap:
            counts += [0] * gap
        counts.append(count)
        end = index + 1
    ends = [*(begin for _, begin in runs), len(counts)][1:]
    spans = [BucketSpan(gap, stop - begin) for (gap, begin), stop in zip(runs, ends, strict=True)]
    return spans, list(map(sub, counts, [0, *counts]))


def _le(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]


def _exposes_created() -> bool:
    # prometheus_client has functions to turn this on and off, but none to ask.
    return bool(getattr(prometheus_client.metrics, "_use_created", True))
