"""The weights of a model by layer or by variable, each under a name of its own."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Literal, TypeVar

from gangplank import _native
from gangplank.weights.counting import Counting
from gangplank.weights.statistics import WeightsStatistics, statistics_of
from gangplank.weights.variables import weight_arrays

T = TypeVar("T")

PER = ("model", "layer", "variable")

Per = Literal["model", "layer", "variable"]


class Parts:
    """What is known of the parts of a model, from one pass over its weights for each counting.

    Arguments:
        model: as `weight_arrays` takes it.
        weights: the same.
        per: the smallest parts that are wanted.
        countings: how to count.
        has_moments: whether statistics are wanted, which the first pass then makes.

    Raises:
        ValueError, TypeError, RuntimeError: as `weight_arrays` and `gangplank._native.measure` do.
    """

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
        self._paths = [path for path, _ in entries]
        self._names = part_names(self._paths, per)
        self._countings = countings
        groups = grouped(self._names, (array for _, array in entries))
        ways: list[tuple[_native.Bounds | None, bool]] = [(None, True)]
        if countings:
            ways = [(each.bounds, each.has_moments) for each in countings]
            ways[0] = (countings[0].bounds, countings[0].has_moments or has_moments)
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

    def histograms(self, per: Per) -> dict[str, tuple[Any, ...]]:
        """A histogram for each counting, by the name of the part; that of the model is ""."""
        by_counting = [
            {name: each.histogram(part) for name, part in self._by(per, measured).items()}
            for each, measured in zip(self._countings, self._measured, strict=True)
        ]
        return {name: tuple(found[name] for found in by_counting) for name in by_counting[0]}

    def statistics(self, per: Per) -> dict[str, WeightsStatistics]:
        """The statistics by the name of the part; that of the model is ""."""
        return {
            name: statistics_of(part) for name, part in self._by(per, self._measured[0]).items()
        }

    def _by(self, per: Per, measured: dict[str, _native.Measured]) -> dict[str, _native.Measured]:
        if per == "model":
            return {"": _native.Measured.together(measured.values())}
        smaller = grouped(part_names(self._paths, per), self._names)
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


def part_names(paths: Sequence[str], per: Per) -> list[str]:
    """The name of the part that each variable is of, from the paths of all.

    A layer has the path that Keras gives its variables, without the name of the variable. Where
    several have the same path, the second one is called ``path_2``, and so on.
    """
    if per == "model":
        return [""] * len(paths)
    met: Counter[str] = Counter()
    parts = []
    for path in paths:
        met[path] += 1
        parts.append((_layer(path) if per == "layer" else path, met[path]))
    distinct = dict.fromkeys(parts)
    names = dict(zip(distinct, _names(distinct), strict=True))
    return [names[part] for part in parts]


def checked_per(per: object, choices: tuple[str, ...], argument: str = "per") -> Any:
    """`per` as given to a function. Raises ValueError if it is none of `choices`."""
    if per not in choices:
        words = ", ".join(map(repr, choices[:-1]))
        raise ValueError(f"{argument} must be {words} or {choices[-1]!r}. Received {per!r}.")
    return per


def _layer(path: str) -> str:
    # Of Keras's own paths; of the keys of a state_dict, where dots stand between the names.
    for separator in "/.":
        if separator in path:
            return path.rpartition(separator)[0]
    return path


def _names(parts: Collection[tuple[str, int]]) -> Iterator[str]:
    taken = {path for path, occurrence in parts if occurrence == 1}
    for path, occurrence in parts:
        name = path
        while occurrence > 1 and name in taken:
            name = f"{path}_{occurrence}"
            occurrence += 1
        taken.add(name)
        yield name
