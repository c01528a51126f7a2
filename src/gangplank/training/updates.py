"""How far the weights of a run move from one look at them to the next."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from keras import ops

from gangplank import _native
from gangplank.weights import Per, grouped, part_names, statistics_of, weight_arrays


class Updates:
    """Holds a copy of the weights, where they lie, and compares those to come with it.

    Arguments:
        weights: "trainable" or "all".
        per: what is compared: "model", each "layer" or each "variable".

    Attributes:
        ratios: ‖w - w before‖ / ‖w‖ by the name of the part, as last found; 0 where nothing moved.
            NaN where a weight is or was not finite. Changes of all but float64 weights are float32,
            as the framework has them: NaN also where one is beyond it, and 0 where the framework
            takes subnormal numbers for 0.
    """

    def __init__(self, weights: str, per: Per) -> None:
        self.ratios: dict[str, float] = {}
        self._weights = weights
        self._per = per
        self._before: dict[str, list[Any]] = {}

    def begin(self, model: Any) -> None:
        """Remembers the weights of `model`. Raises as `gangplank.weights_histogram` does."""
        self._remember(self._arrays(model))

    def look(self, model: Any, norms: Mapping[str, float]) -> None:
        """Compares the weights with the last ones, and remembers them in their place.

        What was not there, or had another shape, has no ratio. Where that fails nothing has one,
        and the next look begins anew.

        Arguments:
            model: whose weights.
            norms: the L2 norm of each part, by its name.
        """
        before, self._before, self.ratios = self._before, {}, {}
        arrays = self._arrays(model)
        known = [name for name in arrays if _are_alike(arrays[name], before.get(name, []))]
        changes = (_changes(arrays[name], before[name]) for name in known)
        measured = _native.measure(changes, None, has_moments=True)
        ratios = {
            name: _ratio(part, norms[name]) for name, part in zip(known, measured, strict=True)
        }
        del before, changes  # there need not be room for both copies
        self._remember(arrays)
        self.ratios = ratios

    def _remember(self, arrays: Mapping[str, list[Any]]) -> None:
        self._before = {name: [ops.copy(each) for each in part] for name, part in arrays.items()}

    def _arrays(self, model: Any) -> dict[str, list[Any]]:
        entries = list(weight_arrays(model, self._weights))
        names = part_names([place for place, _ in entries], self._per)
        return grouped(names, (ops.stop_gradient(array) for _, array in entries))


def _are_alike(now: list[Any], before: list[Any]) -> bool:
    return [array.shape for array in now] == [array.shape for array in before]


def _changes(now: list[Any], before: list[Any]) -> Iterator[Any]:
    for new, old in zip(now, before, strict=True):
        # What is narrower would round the change itself.
        wide = "float64" if _native.dtype_name(new) == "float64" else "float32"
        yield ops.subtract(ops.cast(new, wide), ops.cast(old, wide))


def _ratio(changes: _native.Measured, norm: float) -> float:
    change = statistics_of(changes)
    if change.nan_count or change.infinite_count:
        return math.nan
    if not change.norm:
        return 0.0
    return change.norm / norm if norm else math.inf
