"""Counting PyTorch tensors on the device where they live; only the counts leave it."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.arrays import dtype_name

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24


def slots(bits: Any, patterns: Any) -> Any:
    """How many of `bits` lie in each of the slots that `patterns` part; both signed, (n,)."""
    places = torch.bucketize(bits, patterns, out_int32=True)
    return torch.bincount(places, minlength=patterns.numel() + 1)


def count(
    tensors: Iterable[Any],
    bounds: edges.Bounds,
    *,
    count_slots: Callable[[Any, Any], Any] = slots,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `count_slots` is `slots`, or `slots` compiled."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    for tensor in tensors:
        its_edges = edges.edges_of(bounds, np.dtype(dtype_name(tensor))).signed()
        patterns = torch.from_numpy(its_edges.patterns).to(tensor.device)
        row = tensor.detach().resolve_neg().reshape(-1).view(patterns.dtype)
        for block in row.split(BLOCK):
            totals += its_edges.totals(count_slots(block, patterns).cpu().numpy())
    return totals[:-1], int(totals[-1])
