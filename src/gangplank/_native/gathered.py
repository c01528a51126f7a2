"""Many small arrays gathered, so that one call serves them all."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
Kind = TypeVar("Kind", bound=Hashable)


def gathered(
    arrays: Iterable[T],
    kind_of: Callable[[T], Kind],
    size_of: Callable[[T], int],
    *,
    below: int,
    up_to: int,
) -> Iterator[tuple[Kind, list[T]]]:
    """Large arrays one by one, the small ones of a kind together, and none without values.

    Arguments:
        arrays: in whatever order they are to be taken.
        kind_of: tells which may be together.
        size_of: how many values an array has.
        below: those of fewer values are small.
        up_to: so many values together, or more by less than `below`, are given at once.
    """
    small: dict[Kind, list[T]] = {}
    sizes: Counter[Kind] = Counter()
    for array in arrays:
        kind, size = kind_of(array), size_of(array)
        if size >= below:
            yield kind, [array]
        if not 0 < size < below:
            continue
        small.setdefault(kind, []).append(array)
        sizes[kind] += size
        if sizes[kind] >= up_to:
            yield kind, small.pop(kind)
            sizes[kind] = 0
    yield from small.items()
