"""The weights of a model by layer or by variable, each under a name of its own."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from gangplank import _native
from gangplank.weights.counting import Counting
from gangplank.weights.statistics import WeightsStatistics, statistics_of
from gangplank.weights.variables import Place, weight_arrays

T = TypeVar("T")

PER = ("model", "layer", "variable")
"""From the largest parts to the smallest."""

Per = Literal["model", "layer", "variable"]


class Parts:
    """What is known of the parts of a model, from one pass over its weights for each counting.

    Statistics take no pass of their own where there is a counting.

    Arguments:
        model: as `weight_arrays` takes it.
        weights: the same.
        per: the smallest parts that are wanted.
        countings: how to count.
        has_moments: whether statistics are wanted, which the first pass then makes.

    Raises:
        ValueError, TypeError, RuntimeError: as `weight_arrays` and `gangplank._native.measure` do.
    """

    @_native.keeping_subnormals
    def __init__(
        self,
        model: Any,
        weights: str,
        per: Per,
        countings: Sequence[Counting] = (),
        *,
        has_moments: bool = False,
    ) -> None:
        entries = list(weight_arrays(model, weights))
        self._places = [place for place, _ in entries]
        self._per = per
        self._names = part_names(self._places, per)
        self._countings = countings
        groups = grouped(self._names, (array for _, array in entries))
        ways: list[tuple[_native.Bounds | None, bool]]
        ways = [(each.bounds, each.has_moments) for each in countings]
        if has_moments:
            ways[:1] = [(ways[0][0] if ways else None, True)]
        self._measured = [
            dict(
                zip(
                    groups,
                    _native.measure(groups.values(), bounds, has_moments=is_summed),
                    strict=True,
                )
            )
            for bounds, is_summed in ways
        ]

    @_native.keeping_subnormals
    def histograms(self, per: Per) -> dict[str, tuple[Any, ...]]:
        """A histogram for each counting, by the name of the part; that of the model is ""."""
        by_counting = [
            {name: each.histogram(part) for name, part in self._by(per, measured).items()}
            for each, measured in zip(self._countings, self._measured, strict=True)
        ]
        return {name: tuple(found[name] for found in by_counting) for name in by_counting[0]}

    @_native.keeping_subnormals
    def statistics(self, per: Per) -> dict[str, WeightsStatistics]:
        """The statistics by the name of the part; that of the model is ""."""
        return {
            name: statistics_of(part) for name, part in self._by(per, self._measured[0]).items()
        }

    def _by(self, per: Per, measured: dict[str, _native.Measured]) -> dict[str, _native.Measured]:
        if per == "model":  # also one without weights
            return {"": _native.Measured.together(measured.values())}
        if per == self._per:
            return measured
        smaller = grouped(part_names(self._places, per), self._names)
        return {
            name: _native.Measured.together(measured[part] for part in dict.fromkeys(parts))
            for name, parts in smaller.items()
        }


def grouped(names: Iterable[str], values: Iterable[T]) -> dict[str, list[T]]:
    """The values that have the same name, by it, in the order in which the names come."""
    groups: dict[str, list[T]] = {}
    for name, value in zip(names, values, strict=True):
        groups.setdefault(name, []).append(value)
    return groups


def part_names(places: Sequence[Place], per: Per) -> list[str]:
    """The name of the part that each variable is of, from the places of all.

    A layer has the path that Keras gives it; where no layer is known, that of the variable without
    its name. Where several have the same path, the second one is called ``path_2``, and so on.
    """
    if per == "model":
        return [""] * len(places)
    met: Counter[str] = Counter()
    parts: list[tuple[str, Hashable]] = []
    for path, owner in places:
        met[path] += 1
        if per == "variable":
            parts.append((path, met[path]))
        elif owner is None:  # one of the same path is of another layer
            parts.append((_layer(path), met[path]))
        else:
            parts.append((owner.path, owner))
    distinct = dict.fromkeys(parts)
    names = dict(zip(distinct, _told_apart([path for path, _ in distinct]), strict=True))
    return [names[part] for part in parts]


def checked_per(per: object, choices: tuple[str, ...], argument: str = "per") -> Any:
    """`per` as given to a function. Raises ValueError if it is none of `choices`."""
    if per not in choices:
        words = ", ".join(map(repr, choices[:-1]))
        raise ValueError(f"{argument} must be {words} or {choices[-1]!r}. Received {per!r}.")
    return per


def _layer(path: str) -> str:
    # Slashes stand in Keras's own paths and between the keys of mappings, dots in the keys of a
    # state_dict.
    end = max(path.rfind("/"), path.rfind("."))
    return path[:end] if end > 0 else path


def _told_apart(paths: list[str]) -> Iterator[str]:
    taken = {*paths}
    met: Counter[str] = Counter()
    for path in paths:
        met[path] += 1
        name, number = path, met[path]
        while number > 1 and name in taken:
            name = f"{path}_{number}"
            number += 1
        taken.add(name)
        yield name
