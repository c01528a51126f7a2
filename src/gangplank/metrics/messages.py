"""Metrics as messages of Prometheus's protobuf format, as their text says the same, and back."""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import escape_label_name, escape_metric_name
from prometheus_client.samples import BucketSpan, NativeHistogram, Sample

from gangplank.metrics.metric_names import exposed_name
from gangplank.metrics.protobuf import MetricFamily

# Types as prometheus_client has them, in the protobuf format.
_TYPES = {
    **{kind: kind.upper() for kind in ("counter", "gauge", "histogram", "summary")},
    "info": "GAUGE",
    "stateset": "GAUGE",
    "gaugehistogram": "HISTOGRAM",
    "unknown": "UNTYPED",
}

# The label that tells the samples of a metric apart.
_PARTS = {"HISTOGRAM": "le", "SUMMARY": "quantile"}

# What follows the name of a family in the names of their samples.
_ENDINGS = {"HISTOGRAM": ("", "_bucket", "_count", "_sum"), "SUMMARY": ("", "_count", "_sum")}

# Endings of samples that the text format of Prometheus shows as gauges of their own.
_GAUGES = ("_created", "_gcount", "_gsum")


def messages(families: Iterable[Metric]) -> Iterator[Any]:
    """A message for each metric that the text shows, of which a family may have several.

    Those are some gauges, and what a collector of somebody's has named otherwise than its family.
    Of a name there is one message, also where several families have samples of it: a Pushgateway
    keeps only the last one.
    """
    found: dict[str, tuple[str, str, list[Sample]]] = {}
    for family in families:
        for name, kind, samples in _metrics(family):
            found.setdefault(name, (family.documentation, kind, []))[2].extend(samples)
    for name, (documentation, kind, samples) in found.items():
        yield _message(name, documentation, kind, samples)


def _metrics(family: Metric) -> Iterator[tuple[str, str, list[Sample]]]:
    kind, base = _TYPES[family.type], escape_metric_name(family.name)
    endings = _ENDINGS.get(kind, (exposed_name(family).removeprefix(family.name),))
    own = {name + ending for name in (base, family.name) for ending in endings}
    gauges = {base + ending for ending in _GAUGES}
    samples: list[Sample] = []
    apart: dict[str, list[Sample]] = {}
    for sample in family.samples:
        if sample.name in own or (name := escape_metric_name(sample.name)) in own:
            samples.append(sample)
        else:
            apart.setdefault(name, []).append(sample)
    if samples or not apart:
        yield escape_metric_name(exposed_name(family)), kind, samples
    for name, its_samples in apart.items():
        yield name, "GAUGE" if name in gauges else "UNTYPED", its_samples


def emptied(family: Metric) -> Any:
    """The message of a family without metrics, by the name that it has in the protobuf format."""
    return _message(family.name, family.documentation, _TYPES[family.type], [])


def _message(name: str, documentation: str, kind: str, samples: list[Sample]) -> Any:
    message = MetricFamily(name=name, help=documentation, type=kind)
    part = _PARTS.get(kind, "")
    metrics: dict[frozenset[tuple[str, str]] | int, Any] = {}
    for sample in samples:
        labels = [label for label in sample.labels.items() if label[0] != part]
        key = frozenset(labels) if part else len(metrics)
        metric = metrics.get(key)
        if metric is None:
            pairs = [{"name": escape_label_name(label), "value": value} for label, value in labels]
            metric = metrics[key] = message.metric.add(label=pairs)
            if sample.timestamp is not None:
                metric.timestamp_ms = int(float(sample.timestamp) * 1000)
        _add(getattr(metric, kind.lower()), sample, part)
    return message


def _add(message: Any, sample: Sample, part: str) -> None:
    """Puts the value of a sample where it belongs in a message."""
    if sample.native_histogram is not None:
        _add_native(message, sample.native_histogram)
    elif not part:
        message.value = sample.value
    elif part in sample.labels and part == "le":
        count = int(sample.value)
        message.bucket.add(cumulative_count=count, upper_bound=float(sample.labels[part]))
    elif part in sample.labels:
        message.quantile.add(quantile=float(sample.labels[part]), value=sample.value)
    elif sample.name.endswith("_sum"):
        message.sample_sum = sample.value
    elif sample.name.endswith("_count"):
        message.sample_count = int(sample.value)


def native_histogram(histogram: Any) -> NativeHistogram | None:
    """The native buckets of a message of a histogram, where it has such.

    Raises:
        ValueError: their counts are no integers.
    """
    if histogram.HasField("sample_count_float"):
        raise ValueError("histograms with counts that are no integers are not taken")
    if not histogram.HasField("schema"):
        return None
    positive, negative = (
        [BucketSpan(span.offset, span.length) for span in spans]
        for spans in (histogram.positive_span, histogram.negative_span)
    )
    return NativeHistogram(
        count_value=histogram.sample_count,
        sum_value=histogram.sample_sum,
        schema=histogram.schema,
        zero_threshold=histogram.zero_threshold,
        zero_count=histogram.zero_count,
        pos_spans=positive,
        neg_spans=negative,
        pos_deltas=list(histogram.positive_delta),
        neg_deltas=list(histogram.negative_delta),
    )


def _add_native(message: Any, native: NativeHistogram) -> None:
    message.sample_count = int(native.count_value)
    message.sample_sum = native.sum_value
    message.schema = native.schema
    message.zero_threshold = native.zero_threshold
    message.zero_count = int(native.zero_count)
    if not (native.zero_threshold or native.pos_spans or native.neg_spans):
        # A bucket without values, else Prometheus takes it for a classic histogram.
        message.positive_span.add(offset=0, length=1)
        message.positive_delta.append(0)
    for spans, its_spans in (
        (message.positive_span, native.pos_spans),
        (message.negative_span, native.neg_spans),
    ):
        for offset, length in its_spans or ():
            spans.add(offset=offset, length=length)
    message.positive_delta.extend(native.pos_deltas or ())
    message.negative_delta.extend(native.neg_deltas or ())
