"""Counting PyTorch tensors on the device where they live; only the counts leave it."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gangplank._native import edges

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24


def slots(bits: Any, patterns: Any) -> Any:
    """How many of `bits`, signed, lie in each of the slots that `patterns` part; both (n,).

    Few operations know unsigned integers: with the sign bit flipped, signed ones do.
    """
    places = torch.bucketize(bits ^ torch.iinfo(bits.dtype).min, patterns)
    return torch.bincount(places, minlength=patterns.numel() + 1)


def count(
    tensors: Iterable[Any],
    bounds: NDArray[np.float64],
    *,
    count_slots: Callable[[Any, Any], Any] = slots,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `count_slots` is `slots`, or `slots` compiled."""
    totals = np.zeros(bounds.size + 2, np.int64)
    for tensor in tensors:
        dtype_edges = edges.edges_of(bounds, np.dtype(str(tensor.dtype).removeprefix("torch.")))
        patterns = torch.from_numpy(dtype_edges.signed_patterns()).to(tensor.device)
        row = tensor.detach().resolve_neg().reshape(-1).view(patterns.dtype)
        for block in row.split(BLOCK):
            totals += dtype_edges.totals(count_slots(block, patterns).cpu().numpy())
    return totals[:-1], int(totals[-1])
