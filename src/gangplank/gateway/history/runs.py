"""What was pushed to one group from the begin of a run until the next one begins."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from gangplank.gateway.history.series import Labels, Series, size_of_text
from gangplank.gateway.history.snapshots import (
    MOST_BUCKETS,
    NATIVE_BOUNDS,
    Snapshots,
    from_cumulative,
    from_native,
)

Key = tuple[str, frozenset[tuple[str, str]]]

_EPOCHS = "gangplank_train_epochs_count"
_STATUS = "gangplank_train_status"
_LONGEST = 1_000  # characters of a name with its labels


class Run:
    """One run of a group.

    Arguments:
        identity: what tells it apart from every other run of a history.
        group: the labels of its group.
        time: when it began, in seconds of the Unix epoch.
    """

    def __init__(self, identity: int, group: Labels, time: float) -> None:
        self.identity = identity
        self.group = group
        self.began = time
        self.pushed: float | None = None
        self.refused: float | None = None
        self.is_deleted = False
        self.series: dict[Key, Series] = {}
        self.histograms: dict[Key, Snapshots] = {}
        self._epoch = math.nan
        self._status: str | None = None

    def is_followed_by(self, families: Mapping[str, Metric]) -> bool:
        """Whether another run of the group has pushed these: one that begins, or counts anew."""
        is_new = self._status in ("completed", "failed") and _status(families) == "running"
        return self.is_deleted or is_new or _epoch(families) < self._epoch

    def take(self, families: Mapping[str, Metric], time: float, room: "Room") -> None:
        """Takes the samples of a push, as far as there is room."""
        self.pushed = time
        epoch = _epoch(families)
        self._epoch = self._epoch if math.isnan(epoch) else epoch
        self._status = _status(families) or self._status
        for family in families.values():
            if family.type == "histogram":
                self._take_histograms(family, time, room)
            else:
                for sample in family.samples:
                    key = self._key(sample)
                    series = self.series.get(key)
                    if series is None and room.has(self, "series", key):
                        series = Series(room.number(), sample.name, dict(sorted(key[1])))
                        self.series[key] = series
                    if series is not None:
                        series.add(time, self._epoch, sample.value)

    def described(self) -> dict[str, Any]:
        """What JSON tells of it apart from its series."""
        return {
            "id": self.identity,
            "group": self.group,
            "began": self.began,
            "pushed": self.pushed,
            "refused": self.refused,
            "deleted": self.is_deleted,
            "epoch": self._epoch if math.isfinite(self._epoch) else None,
        }

    def parts(self) -> Iterable[Series | Snapshots]:
        """All series and histograms."""
        return [*self.series.values(), *self.histograms.values()]

    def _take_histograms(self, family: Metric, time: float, room: "Room") -> None:
        classic: dict[Key, dict[float, float]] = {}
        native: dict[Key, list[float]] = {}
        for sample in family.samples:
            key = self._key(sample, family.name)
            if sample.native_histogram is not None:
                if (counts := from_native(sample.native_histogram)) is not None:
                    native[key] = counts
            elif sample.name == f"{family.name}_bucket":
                classic.setdefault(key, {})[float(sample.labels["le"])] = sample.value
        for key, buckets in classic.items():
            # Of a native one the text has a single bucket, that of +Inf.
            is_native = len(buckets) == 1 and key in native
            bounds, counts = (NATIVE_BOUNDS, native[key]) if is_native else from_cumulative(buckets)
            snapshots = self.histograms.get(key)
            if snapshots is None or snapshots.bounds != bounds:
                if len(counts) > MOST_BUCKETS:
                    room.is_full = True
                    continue
                if snapshots is None and not room.has(self, "histograms", key):
                    continue
                snapshots = Snapshots(room.number(), key[0], dict(sorted(key[1])), bounds)
                self.histograms[key] = snapshots
            snapshots.add(time, self._epoch, counts)

    def _key(self, sample: Sample, name: str | None = None) -> Key:
        own = (
            (label, value)
            for label, value in sample.labels.items()
            if label not in self.group
            and (label, value) != ("instance", "")
            and (name is None or label != "le")
        )
        return name or sample.name, frozenset(own)


class Room:
    """What may still be kept.

    Arguments:
        runs: all runs, from the first one that would be forgotten to the last one.
        most_series: how many series are kept.
        most_histograms: how many histograms are kept.

    Attributes:
        is_full: whether something was not kept.
    """

    def __init__(self, runs: list[Run], most_series: int, most_histograms: int) -> None:
        self._runs = runs
        self._most = {"series": most_series, "histograms": most_histograms}
        self._next = 0
        self.is_full = False

    def number(self) -> int:
        """One that no other run, series or histogram has."""
        self._next += 1
        return self._next

    def has(self, run: Run, kind: Literal["series", "histograms"], key: Key) -> bool:
        """Whether `run` may keep one more of a kind, for which the oldest runs may be forgotten."""
        name, labels = key
        is_kept = size_of_text(name, dict(labels)) <= _LONGEST
        while is_kept and sum(len(getattr(each, kind)) for each in self._runs) >= self._most[kind]:
            oldest = min(self._runs, key=lambda each: (each is run, each.pushed or each.began))
            if oldest is run:
                is_kept = False
            else:
                self._runs.remove(oldest)
        self.is_full |= not is_kept
        return is_kept


def _epoch(families: Mapping[str, Metric]) -> float:
    """How many epochs are completed; NaN where nobody tells."""
    samples = families[_EPOCHS].samples if _EPOCHS in families else []
    return float(samples[0].value) if samples else math.nan


def _status(families: Mapping[str, Metric]) -> str | None:
    samples = families[_STATUS].samples if _STATUS in families else []
    return next((s.labels.get("status") for s in samples if s.value == 1), None)
