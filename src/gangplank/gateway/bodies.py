"""The bodies of pushes, in Prometheus's text format and in its protobuf format."""

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gangplank.metrics import exposed_name, is_label_name

TYPES = ("counter", "gauge", "summary", "unknown", "histogram")  # as protobuf numbers them

_NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")
# The parser would rename it.
_COUNTER = re.compile(r"^# TYPE (\S+(?<!_total)) counter$", re.MULTILINE)
_ABOUT = re.compile(r"^#[ \t]+(HELP|TYPE)[ \t]+(\S+)", re.MULTILINE)
_HISTOGRAM = re.compile(r"^# TYPE (\S+) histogram$", re.MULTILINE)
_SAMPLE = re.compile(r"^([^\s{#]+)[ \t{].*\n", re.MULTILINE)


class RefusedError(ValueError):
    """What the gateway answers with 400."""


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """A body as it was before it was encoded for the way, of at most so many bytes."""
    if encoding.lower() in ("", "identity"):
        return body
    if encoding.lower() != "gzip":
        raise RefusedError(f"the Content-Encoding {encoding!r} is not known here, but gzip is")
    unpacker = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        data = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise RefusedError(f"the body is no gzip: {error}") from error
    if len(data) > most:
        raise RefusedError(f"the body has more than {most} bytes when unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise RefusedError("the body is no whole gzip of one member")
    return data


def from_text(body: bytes) -> dict[str, Metric]:
    """The families of a body by their names in the text format."""
    families: dict[str, Metric] = {}
    try:
        text = body.decode()
        if text and not text.endswith("\n"):
            raise ValueError("unexpected end of input")
        if counter := _COUNTER.search(text):
            raise ValueError(f"the name of counter {counter[1]!r} does not end in _total")
        for (kind, name), count in Counter(_ABOUT.findall(text)).items():
            if count > 1:
                raise ValueError(f"second {kind} line for metric name {name!r}")
        for family in text_string_to_metric_families(_without_native(text)):
            if family.type not in TYPES:
                raise ValueError(f"unknown metric type {family.type!r}")
            _check_names(family)
            first = families.setdefault(exposed_name(family), family)
            if first is family:
                continue
            # Of untyped metrics the parser yields each sample by itself, and of others what follows
            # another metric's.
            if family.type != "unknown":
                raise ValueError(f"second TYPE line for metric name {exposed_name(family)!r}")
            first.samples.extend(family.samples)
    # The parser raises whatever its handling of strings comes upon.
    except Exception as error:
        raise RefusedError(f"text format parsing error: {error}") from error
    return {name: family for name, family in families.items() if family.samples}


def from_protobuf(body: bytes) -> dict[str, Metric]:
    """The same of delimited protobuf, where a family may also have no samples."""
    # Here, since it takes 40 ms, and few push in it.
    from gangplank.metrics.protobuf import decoded

    families: dict[str, Metric] = {}
    try:
        for message in decoded(body):
            family = _from_message(message)
            _check_names(family)
            families[exposed_name(family)] = family  # of two the last, as a Pushgateway has it
    # A text that is not UTF-8 is bytes, and fails wherever it is used.
    except (ValueError, TypeError, AttributeError) as error:
        raise RefusedError(f"protobuf parsing error: {error}") from error
    return families


def go_float(value: float) -> str:
    """A number as Go prints it: 0 and not 0.0, 1e+06 and not 1000000.0."""
    text = repr(value).replace("inf", "+Inf").replace("-+", "-").replace("nan", "NaN")
    digits = re.fullmatch(r"(-?\d)(\d*)\.(\d+)", text)
    if digits is None or abs(value) < 1e6:
        return text.removesuffix(".0")
    first, whole, fraction = digits.groups()
    mantissa = f"{first}.{whole}{fraction}".rstrip("0").rstrip(".")
    return f"{mantissa}e+{len(whole):02}"


def _without_native(text: str) -> str:
    """The text without what prometheus_client writes of native histograms: their bare names.

    A Pushgateway reads over these, and the parser would take what follows for untyped metrics.
    """
    names = set(_HISTOGRAM.findall(text))
    if not names:
        return text
    return _SAMPLE.sub(lambda line: "" if line[1] in names else line[0], text)


def _check_names(family: Metric) -> None:
    if not _NAME.fullmatch(family.name):
        raise ValueError(f"invalid name of metric {family.name!r}")
    for sample in family.samples:
        if not _NAME.fullmatch(sample.name) or not all(map(is_label_name, sample.labels)):
            raise ValueError(f"invalid name of metric or label in {sample.name!r}")


def _from_message(message: Any) -> Metric:
    if message.type >= len(TYPES):
        raise ValueError(f"unknown type of metric {message.name!r}")
    kind = TYPES[message.type]
    if kind == "counter" and not message.name.endswith("_total"):
        raise ValueError(f"the name of counter {message.name!r} does not end in _total")
    from gangplank.metrics.messages import native_histogram  # as above

    name = message.name.removesuffix("_total") if kind == "counter" else message.name
    family = Metric(name, message.help, kind)
    field = "untyped" if kind == "unknown" else kind
    for metric in message.metric:
        if not metric.HasField(field):
            raise ValueError(f"{message.name!r} is not a {field}")
        labels = {pair.name: pair.value.encode().decode() for pair in metric.label}
        if len(labels) < len(metric.label):
            raise ValueError(f"two labels of the same name in {message.name!r}")
        timestamp = metric.timestamp_ms if metric.HasField("timestamp_ms") else None
        value = getattr(metric, field)
        for suffix, extra, number in _series(field, value):
            series = Sample(message.name + suffix, labels | extra, float(number), timestamp)
            family.samples.append(series)
        if field == "histogram" and (native := native_histogram(value)) is not None:
            count = float(value.sample_count)
            family.add_sample(family.name, labels, count, timestamp, native_histogram=native)
    return family


def _series(field: str, metric: Any) -> Iterator[tuple[str, dict[str, str], float]]:
    """The ending of each series' name, its own label, and its value."""
    if field == "summary":
        for quantile in metric.quantile:
            yield "", {"quantile": go_float(quantile.quantile)}, quantile.value
    elif field == "histogram":
        for bucket in metric.bucket:
            yield "_bucket", {"le": go_float(bucket.upper_bound)}, bucket.cumulative_count
    else:
        yield "", {}, metric.value
        return
    yield "_sum", {}, metric.sample_sum
    yield "_count", {}, metric.sample_count
