"""Counting PyTorch tensors on the device where they live; only the counts leave it."""

import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.arrays import dtype_name
from gangplank._native.moments import Rows

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24


def slots(bits: Any, patterns: Any) -> Any:
    """How many of `bits` lie in each of the slots that `patterns` part; both signed, (n,)."""
    places = torch.bucketize(bits, patterns, out_int32=True)
    return torch.bincount(places, minlength=patterns.numel() + 1)


def moments_of(values: Any) -> Rows:
    """The moments of `values`, shape (n,), n >= 1."""
    exact = values.to(torch.float64)
    is_finite = exact.isfinite()
    size = is_finite.sum()
    total = torch.where(is_finite, exact, 0.0).sum()
    squares = torch.where(is_finite, exact - total / size, 0.0).square().sum()
    minimum = torch.where(is_finite, exact, math.inf).min()
    maximum = torch.where(is_finite, exact, -math.inf).max()
    counts = size, exact.isnan().sum(), exact.isinf().sum(), (exact == 0).sum()
    row = torch.stack([*counts, total, squares, minimum, maximum])
    return row.to(torch.float64).cpu().numpy()[np.newaxis]  # type: ignore[no-any-return]


def count(
    tensors: Iterable[Any],
    bounds: edges.Bounds,
    moments: list[Rows] | None = None,
    *,
    count_slots: Callable[[Any, Any], Any] = slots,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `count_slots` is `slots`, or `slots` compiled."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    signed = cache(lambda name: edges.edges_of(bounds, np.dtype(name)).signed())
    for tensor in tensors:
        its_edges = signed(dtype_name(tensor))
        patterns = torch.from_numpy(its_edges.patterns).to(tensor.device)
        row = tensor.detach().resolve_neg().reshape(-1).view(patterns.dtype)
        for block in row.split(BLOCK):
            np.add.at(totals, *its_edges.totals(count_slots(block, patterns).cpu().numpy()))
            if moments is not None and block.numel():
                moments.append(moments_of(block.view(tensor.dtype)))
    return totals[:-1], int(totals[-1])
