"""The weights of a model by layer or by variable, each under a name of its own."""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, Literal

from gangplank.weights.variables import weight_arrays

PER = ("model", "layer", "variable")

Per = Literal["model", "layer", "variable"]


def grouped(model: Any, per: Per, weights: str) -> dict[str, list[Any]]:
    """The arrays of `weight_arrays` by the layer or the variable that they are of, in its order.

    A layer has the path that Keras gives its variables, without the name of the variable. Where
    several have the same path, the second one is called ``path_2``, and so on.
    """
    groups: dict[tuple[str, int], list[Any]] = {}
    met: Counter[str] = Counter()
    for path, array in weight_arrays(model, weights):
        met[path] += 1
        groups.setdefault((_layer(path) if per == "layer" else path, met[path]), []).append(array)
    return dict(zip(_names(groups), groups.values(), strict=True))


def checked_per(per: object, choices: tuple[str, ...]) -> Any:
    """`per` as given to a function. Raises ValueError if it is none of `choices`."""
    if per not in choices:
        words = ", ".join(map(repr, choices[:-1]))
        raise ValueError(f"per must be {words} or {choices[-1]!r}. Received {per!r}.")
    return per


def _layer(path: str) -> str:
    # Of Keras's own paths; of the keys of a state_dict, where dots stand between the names.
    for separator in "/.":
        if separator in path:
            return path.rpartition(separator)[0]
    return path


def _names(groups: Collection[tuple[str, int]]) -> Iterator[str]:
    taken = {path for path, occurrence in groups if occurrence == 1}
    for path, occurrence in groups:
        name = path
        while occurrence > 1 and name in taken:
            name = f"{path}_{occurrence}"
            occurrence += 1
        taken.add(name)
        yield name
