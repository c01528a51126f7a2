"""Counting PyTorch tensors on the device where they live; only the counts leave it.

On CUDA a Triton kernel reads each weight once. PyTorch's own operations serve where there is no
Triton or no CUDA, and where the edges are so many that counts do not fit into shared memory.
"""

import logging
import math
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.arrays import dtype_name
from gangplank._native.devices import Running, batches
from gangplank._native.moments import NARROW, Rows, of_sums

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24

# Their counts, of 4 bytes, take 32 KiB of the shared memory of a program.
MOST_SLOTS = 1 << 13

Found = tuple[Any, Callable[[], Rows] | None]
"""Counts a slot, shape (E + 1,), and what waits for the `Moments`, if they are wanted."""

Find = Callable[[Any, Any, bool], Found]

# The devices, and the dtypes on them, with which Triton has failed.
_without_triton: set[tuple[Any, Any]] = set()

_logger = logging.getLogger(__name__)


def slots(bits: Any, patterns: Any) -> Any:
    """How many of `bits` lie in each of the slots that `patterns` part; both signed, (n,)."""
    places = torch.bucketize(bits, patterns, out_int32=True)
    return torch.bincount(places, minlength=patterns.numel() + 1)


def by_operations(
    values: Any, patterns: Any, has_moments: bool, *, count_slots: Callable[[Any, Any], Any] = slots
) -> Found:
    """`Found` of `values`, shape (n,), by PyTorch's own operations, in several passes."""
    blocks = values.split(BLOCK)
    counts = [count_slots(block.view(patterns.dtype), patterns) for block in blocks]
    return torch.stack(counts).sum(0), partial(_rows_of, values) if has_moments else None


def _rows_of(values: Any) -> Rows:
    return np.array([_moments_of(block) for block in values.split(BLOCK)])


def _moments_of(values: Any) -> list[float]:
    exact = values.to(torch.float64)
    is_finite = exact.isfinite()
    size = is_finite.sum()
    total = torch.where(is_finite, exact, 0.0).sum()
    squares = torch.where(is_finite, exact - total / size, 0.0).square().sum()
    minimum = torch.where(is_finite, exact, math.inf).min()
    maximum = torch.where(is_finite, exact, -math.inf).max()
    counts = size, exact.isnan().sum(), exact.isinf().sum(), (exact == 0).sum()
    row = torch.stack([*counts, total, squares, minimum, maximum])
    return row.to(torch.float64).tolist()  # type: ignore[no-any-return]


def by_triton(values: Any, patterns: Any, has_moments: bool) -> Found:
    """`Found` of `values`, shape (n,), by one kernel that reads them once."""
    from gangplank._native.triton_kernel import find

    dtype = np.dtype(dtype_name(values))
    # By their squares only those moments are exact; the others take passes of their own.
    is_summed = has_moments and dtype in NARROW and "float8" not in dtype.name
    counts, sums = find(values if is_summed else values.view(patterns.dtype), patterns, is_summed)

    def moments() -> Rows:
        rows = of_sums(sums.cpu().numpy(), dtype) if is_summed else None
        return _rows_of(values) if rows is None else rows

    return counts, moments if has_moments else None


def fastest(values: Any, patterns: Any, has_moments: bool) -> Found:
    """`Found` of `values` by Triton, unless that has failed with such values, or fails now."""
    kind = values.device, values.dtype
    if values.is_cuda and patterns.numel() < MOST_SLOTS and kind not in _without_triton:
        try:
            return by_triton(values, patterns, has_moments)
        except torch.OutOfMemoryError:
            raise
        # Triton has no one error for what it cannot compile, and for a compiler that is not there.
        except Exception as error:
            _without_triton.add(kind)
            _logger.warning(
                "%s weights on %s are counted without Triton, which fails: %s", *kind[::-1], error
            )
    return by_operations(values, patterns, has_moments)


def count(
    tensors: Iterable[Any],
    bounds: edges.Bounds,
    moments: list[Rows] | None = None,
    *,
    find: Find = fastest,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `find` is one of the above."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    signed = cache(lambda name: edges.edges_of(bounds, np.dtype(name)).signed())
    there = cache(lambda name, device: torch.from_numpy(signed(name).patterns).to(device))

    def finish(its_edges: edges.Edges, counts: Any, its_moments: Callable[[], Rows] | None) -> None:
        np.add.at(totals, *its_edges.totals(counts.cpu().numpy()))
        if moments is not None and its_moments is not None:
            moments.append(its_moments())

    running = Running(finish)
    for (device, _), batch in batches(tensors, _place, torch.numel):
        rows = [tensor.detach().resolve_neg().reshape(-1) for tensor in batch]
        values = torch.cat(rows) if len(rows) > 1 else rows[0]
        name = dtype_name(values)
        found = find(values, there(name, device), moments is not None)
        running.add(values.numel() if moments is not None else 0, signed(name), *found)
    running.finish()
    return totals[:-1], int(totals[-1])


def _place(tensor: Any) -> tuple[Any, Any]:
    return tensor.device, tensor.dtype
