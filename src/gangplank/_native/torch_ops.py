"""Counting PyTorch tensors on the device where they live; only the counts leave it.

On CUDA a Triton kernel reads each weight once. PyTorch's own operations serve where there is no
Triton or no CUDA, and of the many edges that do not fit into shared memory.
"""

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.arrays import dtype_name
from gangplank._native.devices import batches
from gangplank._native.moments import MOST_OF_MEAN, NARROW, Rows

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24

# Their counts, of 4 bytes, take as much shared memory as a program may have.
MOST_SLOTS = 1 << 13

# Neither bitcasts nor Triton's interpreter know all of them; their values are float32 numbers.
_CAST_FIRST = ("float8_e4m3fn", "float8_e5m2")

Found = tuple[Any, Rows]
"""Counts a slot, shape (E + 1,), and `Moments` of some values each, if they are wanted."""

Find = Callable[[Any, Any, bool], Found]

_has_triton = True


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
    moments = [_moments_of(block) for block in blocks if has_moments and block.numel()]
    return torch.stack(counts).sum(0), np.array(moments).reshape(-1, 8)


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

    if not values.numel():
        return by_operations(values, patterns, has_moments)
    counts, sums = find(values, patterns, has_moments)
    rows = sums.cpu().numpy()
    around_mean = rows[:, 4] ** 2 / np.maximum(rows[:, 0], 1)
    if has_moments and (
        np.dtype(dtype_name(values)) not in NARROW
        or np.any(around_mean > MOST_OF_MEAN * rows[:, 5])
    ):
        return counts, by_operations(values, patterns[:0], True)[1]
    rows[:, 5] -= around_mean
    return counts, rows


def fastest(values: Any, patterns: Any, has_moments: bool) -> Found:
    """`Found` of `values` by Triton, unless that has failed here, or fails now."""
    global _has_triton
    if _has_triton and values.is_cuda and patterns.numel() < MOST_SLOTS:
        try:
            return by_triton(values, patterns, has_moments)
        except torch.OutOfMemoryError:
            raise
        # Triton has no one error for what it cannot compile, and for a compiler that is not there.
        except Exception:
            _has_triton = False
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
    for (device, _), batch in batches(tensors, _place, torch.numel):
        rows = [tensor.detach().resolve_neg().reshape(-1) for tensor in batch]
        values = torch.cat(rows) if len(rows) > 1 else rows[0]
        if dtype_name(values) in _CAST_FIRST:
            values = values.to(torch.float32)
        its_edges = signed(dtype_name(values))
        patterns = torch.from_numpy(its_edges.patterns).to(device)
        counts, its_moments = find(values, patterns, moments is not None)
        np.add.at(totals, *its_edges.totals(counts.cpu().numpy()))
        if moments is not None:
            moments.append(its_moments)
    return totals[:-1], int(totals[-1])


def _place(tensor: Any) -> tuple[Any, Any]:
    return tensor.device, tensor.dtype
