"""Counting PyTorch tensors on the device where they live; only the counts leave it."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.arrays import dtype_name
from gangplank._native.moments import NOTHING, Moments

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24


def slots(bits: Any, patterns: Any) -> Any:
    """How many of `bits` lie in each of the slots that `patterns` part; both signed, (n,)."""
    places = torch.bucketize(bits, patterns, out_int32=True)
    return torch.bincount(places, minlength=patterns.numel() + 1)


def moments_of(values: Any) -> Moments:
    """The moments of `values`, shape (n,)."""
    exact = values.to(torch.float64)
    exact = exact[exact.isfinite()]
    if not exact.numel():
        return NOTHING
    total = exact.sum()
    squares = (exact - total / exact.numel()).square().sum()
    results = torch.stack([total, squares, exact.min(), exact.max()])
    return Moments(exact.numel(), *results.tolist())


def count(
    tensors: Iterable[Any],
    bounds: edges.Bounds,
    moments: list[Moments] | None = None,
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
            totals += its_edges.totals(count_slots(block, patterns).cpu().numpy())
            if moments is not None:
                moments.append(moments_of(block.view(tensor.dtype)))
    return totals[:-1], int(totals[-1])
