"""All runs that were pushed, within bounds, and what is new since somebody last asked."""

import json
import math
import threading
import time
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from prometheus_client.core import Metric

from gangplank.gateway.history.runs import Room, Run
from gangplank.gateway.history.series import Series

Group = frozenset[tuple[str, str]]

# Points that one answer has, about: some megabytes of JSON.
_MOST_AT_ONCE = 100_000


class History:
    """The last points of each series and the histograms of each run.

    By its default bounds it takes 120 MB at most, which are 64 MB for 3 million points of 20
    bytes, 45 MB for histograms, and the rest for names and Python's objects. A run of 100 series
    and 1,000 epochs takes about 2.5 MB.

    Arguments:
        most_points: how many points are kept of one series. Where there are many series, so many
            fewer that there are at most `most_points_in_all`.
        most_points_in_all: how many points are kept of all series.
        most_series: how many series are kept. The oldest runs make room for new ones.
        most_histograms: how many histograms are kept.
        most_runs: how many runs are kept.
    """

    def __init__(
        self,
        most_points: int = 10_000,
        *,
        most_points_in_all: int = 3_000_000,
        most_series: int = 2_000,
        most_histograms: int = 300,
        most_runs: int = 100,
    ) -> None:
        self._most_points = most_points
        self._most_points_in_all = most_points_in_all
        self._most_runs = most_runs
        self._runs: list[Run] = []
        self._current: dict[Group, Run] = {}
        self._room = Room(self._runs, most_series, most_histograms)
        self._born = time.time()
        self._last = 0.0
        self._lock = threading.Lock()

    def push(self, group: Group, families: Mapping[str, Metric], now: float) -> None:
        """A push to a group was taken."""
        with self._lock:
            moment = self._tick(now)
            run = self._current.get(group)
            if run is None or run.is_followed_by(families):
                run = self._begin(group, moment)
            before = self._capacity()
            run.take(families, moment, self._room)
            self._forget()
            after = self._capacity()
            # Of a push to one run the others have no new points.
            self._trim((run,) if after == before else self._runs, after)

    def refuse(self, group: Group, now: float) -> None:
        """A push to a group was refused."""
        with self._lock:
            moment = self._tick(now)
            (self._current.get(group) or self._begin(group, moment)).refused = moment

    def delete(self, group: Group) -> None:
        """A group was deleted: its run is still shown, as deleted."""
        with self._lock:
            if (run := self._current.get(group)) is not None:
                run.is_deleted = True

    def as_json(self, after: float) -> bytes:
        """What was pushed after a time that an earlier answer had as ``until``, or all after 0.

        Where that is much, the answer has the oldest part of it, ``more`` is true, and ``until``
        is where the next answer begins. ``born`` tells a gateway from one that was there before it.
        """
        with self._lock:
            until = self._until(after)
            answer = {
                "born": self._born,
                "until": until,
                "more": until < self._last,
                "full": self._room.is_full,
                "runs": [
                    {
                        **run.described(),
                        "series": _described(run.series.values(), after, until),
                        "histograms": _described(run.histograms.values(), after, until),
                    }
                    for run in self._runs
                ],
            }
        return json.dumps(answer, separators=(",", ":"), allow_nan=False).encode()

    def _tick(self, now: float) -> float:
        """A time later than every one before, whatever the clock does."""
        self._last = max(now, math.nextafter(self._last, math.inf))
        return self._last

    def _begin(self, group: Group, moment: float) -> Run:
        run = Run(self._room.number(), dict(sorted(group)), moment)
        self._runs.append(run)
        self._current[group] = run
        while len(self._runs) > self._most_runs:
            self._runs.remove(min(self._runs[:-1], key=lambda each: each.pushed or each.began))
        self._forget()
        return run

    def _forget(self) -> None:
        """Lets go of the runs that had to make room."""
        kept = {id(each) for each in self._runs}
        self._current = {key: each for key, each in self._current.items() if id(each) in kept}

    def _capacity(self) -> int:
        """How many points each series may have."""
        count = sum(len(run.series) for run in self._runs)
        return min(self._most_points, self._most_points_in_all // max(1, count))

    def _trim(self, runs: Iterable[Run], most: int) -> None:
        for run in runs:
            for series in run.series.values():
                series.trim(most)

    def _until(self, after: float) -> float:
        """The time up to which there are not too many points after `after`."""
        times = []
        for run in self._runs:
            for part in run.parts():
                new = part.times[bisect_right(part.times, after) :]
                weight = 1 if isinstance(part, Series) else len(part.bounds) + 1
                times.append(np.repeat(np.array(new), weight))
        together = np.concatenate([*times, np.array([])])
        if len(together) <= _MOST_AT_ONCE:
            return self._last
        return float(np.partition(together, _MOST_AT_ONCE)[_MOST_AT_ONCE])


def _described(parts: Iterable[Any], after: float, until: float) -> list[dict[str, Any]]:
    return [described for part in parts if (described := part.described(after, until))]
