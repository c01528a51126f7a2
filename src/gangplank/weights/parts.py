"""The weights of a model by layer or by variable, each under a name of its own."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

from gangplank import _native
from gangplank.weights.variables import weight_arrays

PER = ("model", "layer", "variable")

Per = Literal["model", "layer", "variable"]


class Parts:
    """What is known of each part of a model, from one pass over its weights.

    Arguments:
        model: as `weight_arrays` takes it.
        weights: the same.
        per: the smallest parts that are wanted.
        bounds: the upper bounds to count with; None for no counts.
        has_moments: whether moments are wanted.

    Raises:
        ValueError, TypeError, RuntimeError: as `weight_arrays` and `gangplank._native.measure` do.
    """

    def __init__(
        self,
        model: Any,
        weights: str,
        per: Per,
        bounds: _native.Bounds | None,
        *,
        has_moments: bool,
    ) -> None:
        paths, arrays = [], []
        for path, array in weight_arrays(model, weights):
            paths.append(path)
            arrays.append(array)
        self._paths = paths
        self._per = per
        groups: dict[str, list[Any]] = {}
        for name, array in zip(part_names(paths, per), arrays, strict=True):
            groups.setdefault(name, []).append(array)
        measured = _native.measure(groups.values(), bounds, has_moments=has_moments)
        self._measured = dict(zip(groups, measured, strict=True))

    def by(self, per: Per) -> dict[str, _native.Measured]:
        """What is known of each layer or variable by its name, in Keras's order."""
        if per == self._per:
            return self._measured
        inside: dict[str, dict[str, None]] = {}
        names = zip(part_names(self._paths, per), part_names(self._paths, self._per), strict=True)
        for name, smaller in names:
            inside.setdefault(name, {})[smaller] = None
        return {
            name: _native.Measured.together(self._measured[smaller] for smaller in all_smaller)
            for name, all_smaller in inside.items()
        }

    def whole(self) -> _native.Measured:
        """What is known of all weights together."""
        return _native.Measured.together(self._measured.values())


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
