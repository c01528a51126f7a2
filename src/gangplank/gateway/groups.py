"""What was pushed: groups of metrics by their grouping key, and what a gateway takes."""

import base64
import binascii
import copy
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from gangplank.gateway.bodies import RefusedError, go_float
from gangplank.gateway.history import History
from gangplank.metrics import Collected, is_label_name, without_native

Labels = frozenset[tuple[str, str]]

_TIMES = {
    "push_failure_time_seconds": "Last Unix time when changing this group failed.",
    "push_time_seconds": "Last Unix time when changing this group succeeded.",
}
# Of each type that the text format has, the endings of its series' names.
_SERIES_OF = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("", "_bucket", "_count", "_sum"),
    "summary": ("", "_count", "_sum"),
    "unknown": ("",),
}


def grouping_key(path: str) -> Labels:
    """The labels that a path ``/metrics/job/<job>{/<label>/<value>}`` names."""
    components = path.removeprefix("/metrics/").split("/")
    if len(components) == 3 and not components[2]:
        components.pop()
    if len(components) % 2:
        raise RefusedError(f"odd number of components in label string {path!r}")
    labels: dict[str, str] = {}
    for name, value in zip(components[::2], components[1::2], strict=True):
        name, at, encoding = name.partition("@")
        if at and encoding != "base64":
            raise RefusedError(f"improper label name {name + at + encoding!r}")
        if not is_label_name(name):
            raise RefusedError(f"improper label name {name!r}")
        value = _from_base64(value) if at else value
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RefusedError(f"the value {value!r} of the label {name!r} is not UTF-8") from None
        # Of several jobs the real gateway takes the first, of other labels the last.
        labels[name] = labels.get(name, value) if name == "job" else value
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


class Group:
    """What was pushed with one grouping key.

    Attributes:
        labels: the grouping key.
        families: by their names in the text format; also those of the last pushes' times.
        changed: when each of them was pushed, in seconds of the Unix epoch.
    """

    def __init__(self, labels: Labels, now: float) -> None:
        self.labels = dict(sorted(labels))
        self.families: dict[str, Metric] = {}
        self.changed: dict[str, float] = {}
        self.stamp("push_failure_time_seconds", 0, now)
        self.stamp("push_time_seconds", 0, now)

    def add(self, families: Mapping[str, Metric], now: float) -> None:
        """Takes families in place of those of the same names."""
        self.families = {**self.families, **families}
        self.changed = {**self.changed, **dict.fromkeys(families, now)}

    def clear(self) -> None:
        """Forgets all but the times of the last pushes."""
        self.families = {name: self.families[name] for name in _TIMES}
        self.changed = {name: self.changed[name] for name in _TIMES}

    def stamp(self, name: str, seconds: float, now: float) -> None:
        """Notes the time of a push under one of the two names."""
        family = GaugeMetricFamily(name, _TIMES[name])
        family.add_sample(name, {"instance": "", **self.labels}, seconds)
        self.add({name: family}, now)

    def is_well(self) -> bool:
        """Whether the last push was taken."""
        failed, pushed = (self.families[name].samples[0].value for name in _TIMES)
        return pushed > failed


class Groups(Collector):
    """The groups of metrics, by their grouping key, as one collector.

    Attributes:
        history: what they were before.
    """

    def __init__(self) -> None:
        self.history = History()
        self._groups: dict[Labels, Group] = {}
        self._lock = threading.Lock()

    def push(self, key: Labels, families: Mapping[str, Metric], *, replace: bool) -> None:
        """Takes families by their names as a whole, or raises RefusedError and takes none.

        One without samples is not shown, so it takes what had its name out of the group.
        """
        with self._lock:
            now = time.time()
            group = self._groups.setdefault(key, Group(key, now))
            try:
                grouped = {
                    name: _in_group(family, key)
                    for name, family in families.items()
                    if name not in _TIMES
                }
                self._check_types(key, grouped if replace else {**group.families, **grouped})
            except RefusedError:
                group.stamp("push_failure_time_seconds", now, now)
                self.history.refuse(key, now)
                raise
            if replace:
                group.clear()
            group.add(grouped, now)
            group.stamp("push_time_seconds", now, now)
            self.history.push(key, grouped, now)

    def delete(self, key: Labels) -> None:
        """Forgets a group."""
        with self._lock:
            self._groups.pop(key, None)
            self.history.delete(key)

    def snapshot(self) -> list[Group]:
        """The groups as they are now, sorted by their grouping keys."""
        with self._lock:
            groups = [copy.copy(group) for group in self._groups.values()]
        return sorted(groups, key=lambda group: list(group.labels.items()))

    def collect(self) -> Iterable[Metric]:
        """The families of all groups, merged by their names."""
        merged: dict[str, Metric] = {}
        for group in self.snapshot():
            for name, family in group.families.items():
                if family.samples:
                    empty = Metric(family.name, family.documentation, family.type)
                    merged.setdefault(name, empty).samples.extend(family.samples)
        return [merged[name] for name in sorted(merged)]

    def as_text(self) -> bytes:
        """The same in the text format, less native histograms, which it cannot express."""
        return generate_latest(Collected(map(without_native, self.collect())))

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


def _in_group(family: Metric, key: Labels) -> Metric:
    """`family` with the grouping key's labels on its samples, complete as a gateway shows it."""
    grouped = Metric(family.name, family.documentation, family.type)
    seen: dict[tuple[str, Labels], Sample] = {}
    counts = ("_bucket", "_count") if family.type in ("histogram", "summary") else ()
    for sample in family.samples:
        if sample.timestamp is not None:
            raise RefusedError("pushed metrics must not have timestamps")
        labels = {"instance": "", **sample.labels, **dict(key)}
        if family.type == "histogram" and sample.name.endswith("_bucket"):
            labels["le"] = _normal("le", labels.get("le", ""))
        elif family.type == "summary" and "quantile" in labels:
            labels["quantile"] = _normal("quantile", labels["quantile"])
        identity = sample.name, frozenset(labels.items())
        if identity in seen:
            raise RefusedError(f"{sample.name!r} was pushed twice with the same labels")
        value, native = _value(sample), sample.native_histogram
        if sample.name.removeprefix(family.name) in counts and not 0 <= value < 1 << 64:
            raise RefusedError(f"expected a count as value of {sample.name!r}, got {value}")
        seen[identity] = Sample(sample.name, labels, value, native_histogram=native)
    grouped.samples = list(seen.values())
    if family.type in ("histogram", "summary"):
        grouped.samples += _missing_totals(family, seen)
    return grouped


def _normal(label: str, text: str) -> str:
    try:
        return go_float(float(text))
    except ValueError:
        raise RefusedError(f"expected float as value for {label!r} label, got {text!r}") from None


def _value(sample: Sample) -> float:
    try:
        return float(sample.value)
    except OverflowError:
        raise RefusedError(f"expected float as value of {sample.name!r}") from None


def _missing_totals(family: Metric, seen: dict[tuple[str, Labels], Sample]) -> Iterator[Sample]:
    """What a Pushgateway adds: ``_sum`` and ``_count`` of 0, and a bucket of +Inf."""
    series: dict[Labels, dict[str, str]] = {}
    for sample in seen.values():
        labels = {k: v for k, v in sample.labels.items() if k not in ("le", "quantile")}
        series[frozenset(labels.items())] = labels
    for key, labels in series.items():
        count = seen.get((f"{family.name}_count", key))
        for total in (f"{family.name}_sum", f"{family.name}_count"):
            if (total, key) not in seen:
                yield Sample(total, labels, 0.0)
        infinite = {**labels, "le": "+Inf"}
        bucket = f"{family.name}_bucket"
        if family.type == "histogram" and (bucket, frozenset(infinite.items())) not in seen:
            yield Sample(bucket, infinite, count.value if count else 0.0)
