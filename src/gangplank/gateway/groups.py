"""What was pushed: groups of metrics by their grouping key, and what a gateway takes."""

import base64
import binascii
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gangplank.metrics import is_label_name

Labels = frozenset[tuple[str, str]]

# Of each type that the text format has, the endings of its series' names.
_SERIES_OF = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum"),
    "summary": ("", "_count", "_sum"),
    "unknown": ("",),
}
_NAME = re.compile("[a-zA-Z_:][a-zA-Z0-9_:]*")
# The parser would rename it.
_COUNTER = re.compile(r"^# TYPE (\S+(?<!_total)) counter$", re.MULTILINE)


class RefusedError(ValueError):
    """What the gateway answers with 400."""


def grouping_key(path: str) -> Labels:
    """The labels that a path ``/metrics/job/<job>{/<label>/<value>}`` names."""
    components = path.removeprefix("/metrics/").split("/")
    if len(components) % 2:
        raise RefusedError(f"odd number of components in label string {path!r}")
    labels: dict[str, str] = {}
    for name, value in zip(components[::2], components[1::2], strict=True):
        name, at, encoding = name.partition("@")
        if at and encoding != "base64":
            raise RefusedError(f"improper label name {name + at + encoding!r}")
        if not is_label_name(name):
            raise RefusedError(f"improper label name {name!r}")
        labels[name] = _from_base64(value) if at else value
    if not labels["job"]:
        raise RefusedError("job name is required")
    return frozenset(labels.items())


def _from_base64(value: str) -> str:
    stripped = value.rstrip("=")
    try:
        # -_ are the alphabet of URLs; the padding is optional in a path.
        padded = stripped + "=" * (-len(stripped) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise RefusedError(f"invalid base64 encoding {value!r}: {error}") from None


@dataclass
class _Group:
    families: dict[str, Metric] = field(default_factory=dict)
    pushed: float = 0.0
    failed: float = 0.0


class Groups(Collector):
    """The groups of metrics, by their grouping key, as one collector."""

    def __init__(self) -> None:
        self._groups: dict[Labels, _Group] = {}
        self._lock = threading.Lock()

    def push(self, key: Labels, body: bytes, *, replace: bool) -> None:
        """Takes the metrics of a body whole, or raises RefusedError and takes none."""
        families = _parsed(body)
        with self._lock:
            group = self._groups.setdefault(key, _Group())
            try:
                grouped = {name: _in_group(family, key) for name, family in families.items()}
                kept = {} if replace else group.families
                self._check_types(key, kept | grouped)
            except RefusedError:
                group.failed = time.time()
                raise
            group.families = kept | grouped
            group.pushed = time.time()

    def delete(self, key: Labels) -> None:
        with self._lock:
            self._groups.pop(key, None)

    def collect(self) -> Iterable[Metric]:
        """The families of all groups merged by their names, and when each group was pushed."""
        with self._lock:
            groups = sorted((sorted(key), group) for key, group in self._groups.items())
            merged: dict[str, Metric] = {}
            for _, group in groups:
                for name, family in group.families.items():
                    empty = Metric(family.name, family.documentation, family.type)
                    merged.setdefault(name, empty).samples.extend(family.samples)
            for name, documentation, attribute in (
                ("push_failure_time_seconds", "When a push to this group failed last.", "failed"),
                ("push_time_seconds", "When a push to this group succeeded last.", "pushed"),
            ):
                merged[name] = times = GaugeMetricFamily(name, documentation)
                for key, group in groups:
                    labels = {"instance": "", **dict(key)}
                    times.add_sample(name, labels, getattr(group, attribute))
        return [merged[name] for name in sorted(merged)]

    def _check_types(self, key: Labels, families: dict[str, Metric]) -> None:
        others = [group.families for other, group in self._groups.items() if other != key]
        series: dict[str, Metric] = {}
        for family in chain.from_iterable(group.values() for group in (*others, families)):
            for suffix in _SERIES_OF[family.type]:
                first = series.setdefault(family.name + suffix, family)
                if (first.name, first.type) != (family.name, family.type):
                    raise RefusedError(
                        f"pushed metrics are inconsistent with existing metrics: {family.name!r} "
                        f"is a {family.type}, but {first.name!r} is a {first.type} already"
                    )


def _parsed(body: bytes) -> dict[str, Metric]:
    """The families of a body by their names in the text format."""
    families: dict[str, Metric] = {}
    try:
        text = body.decode()
        if text and not text.endswith("\n"):
            raise ValueError("unexpected end of input")
        if counter := _COUNTER.search(text):
            raise ValueError(f"the name of counter {counter[1]!r} does not end in _total")
        for family in text_string_to_metric_families(text):
            name = family.name + ("_total" if family.type == "counter" else "")
            if family.type not in _SERIES_OF:
                raise ValueError(f"unknown metric type {family.type!r}")
            for sample in family.samples:
                if not _NAME.fullmatch(sample.name) or not all(map(is_label_name, sample.labels)):
                    raise ValueError(f"invalid name of metric or label in {sample.name!r}")
            first = families.setdefault(name, family)
            if first is family:
                continue
            # Of untyped metrics the parser yields each sample by itself.
            if {first.type, family.type} != {"unknown"}:
                raise ValueError(f"second TYPE line for metric name {name!r}")
            first.samples.extend(family.samples)
    # The parser raises whatever its handling of strings comes upon.
    except Exception as error:
        raise RefusedError(f"text format parsing error: {error}") from error
    return families


def _in_group(family: Metric, key: Labels) -> Metric:
    """`family` with the grouping key's labels on its samples, complete as a gateway shows it."""
    grouped = Metric(family.name, family.documentation, family.type)
    seen: dict[tuple[str, Labels], Sample] = {}
    for sample in family.samples:
        if sample.timestamp is not None:
            raise RefusedError("pushed metrics must not have timestamps")
        labels = {"instance": "", **sample.labels, **dict(key)}
        if family.type == "histogram" and sample.name.endswith("_bucket"):
            labels["le"] = _go_float(labels.get("le", ""))
        identity = sample.name, frozenset(labels.items())
        if identity in seen:
            raise RefusedError(f"{sample.name!r} was pushed twice with the same labels")
        seen[identity] = Sample(sample.name, labels, _value(sample))
    grouped.samples = list(seen.values())
    if family.type in ("histogram", "summary"):
        grouped.samples += _missing_totals(family, seen)
    return grouped


def _value(sample: Sample) -> float:
    try:
        return float(sample.value)
    except OverflowError:
        raise RefusedError(f"expected float as value of {sample.name!r}") from None


def _missing_totals(family: Metric, seen: dict[tuple[str, Labels], Sample]) -> Iterator[Sample]:
    """What a Pushgateway adds: ``_sum`` and ``_count`` of 0, and a bucket of +Inf."""
    for series in {
        frozenset((label, value) for label, value in labels if label not in ("le", "quantile"))
        for _, labels in seen
    }:
        count = seen.get((f"{family.name}_count", series))
        for total in (f"{family.name}_sum", f"{family.name}_count"):
            if (total, series) not in seen:
                yield Sample(total, dict(series), 0)
        infinite = f"{family.name}_bucket", series | {("le", "+Inf")}
        if family.type == "histogram" and infinite not in seen:
            yield Sample(infinite[0], dict(infinite[1]), count.value if count else 0)


def _go_float(text: str) -> str:
    """A bound as Go prints it: 0 and not 0.0."""
    try:
        value = float(text)
    except ValueError:
        raise RefusedError(f"expected float as value for 'le' label, got {text!r}") from None
    if abs(value) < 1e21 and value.is_integer():
        return str(int(value))
    return repr(value).replace("inf", "+Inf").replace("-+", "-")
