"""The weights of one sign in native buckets: how many lie in each that has some."""

from collections.abc import Mapping
from typing import Any

from gangplank.checked_values import checked_count, is_integer
from gangplank.weights.native_buckets import NativeBuckets


class NativeSide(dict[int, int]):
    """Counts by the index of a bucket, ascending: a dict that cannot be changed.

    A copy of it can.
    """

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError("A histogram cannot be changed.")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def added(one: dict[int, int], two: dict[int, int]) -> NativeSide:
    """The counts of both."""
    indices = sorted({**one, **two})
    return NativeSide({index: one.get(index, 0) + two.get(index, 0) for index in indices})


def merged(side: dict[int, int], steps: int) -> NativeSide:
    """The counts in the buckets of a schema that is by `steps` coarser."""
    together: dict[int, int] = {}
    for index, count in side.items():
        coarse = ((index - 1) >> steps) + 1
        together[coarse] = together.get(coarse, 0) + count
    return NativeSide(together)


def without(side: dict[int, int], indices: set[int]) -> NativeSide:
    """The counts of all other buckets."""
    return NativeSide({index: count for index, count in side.items() if index not in indices})


def shortened(side: dict[int, int]) -> str:
    """The counts as text, without those in the middle where they are many."""
    buckets = [f"{index}: {count}" for index, count in side.items()]
    if len(buckets) > 12:
        buckets[6:-6] = ["…"]
    return f"{{{', '.join(buckets)}}}"


def checked_side(name: str, side: object, buckets: NativeBuckets) -> NativeSide:
    """`side` as given by a user, who calls it `name`. Raises ValueError if it is none."""
    if not isinstance(side, Mapping):
        raise ValueError(f"{name} must map indices to counts. Received {side!r}.")
    checked: dict[int, int] = {}
    for index, count in side.items():
        if not is_integer(index):
            raise ValueError(f"The indices of {name} must be integers. Received {index!r}.")
        if not buckets.first_index <= index <= buckets.last_index:
            raise ValueError(
                f"{name} has no bucket of the index {index}: of schema {buckets.schema} and above "
                f"a zero threshold of {buckets.zero_threshold:g} there are those from "
                f"{buckets.first_index} to {buckets.last_index}."
            )
        if count := checked_count(f"a count of {name}", count):
            checked[int(index)] = count
    return NativeSide(sorted(checked.items()))
