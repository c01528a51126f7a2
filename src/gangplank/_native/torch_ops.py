"""Counting PyTorch tensors on the device where they live, by its own operations in several passes.

Only the counts leave the device.
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
from gangplank._native.devices import Running, batches
from gangplank._native.moments import Rows

# Bounds the temporary tensors: a few of 8 bytes a value, some 100 MiB each.
BLOCK = 1 << 24


def slots(bits: Any, patterns: Any) -> Any:
    """How many of `bits` lie in each of the slots that `patterns` part; both signed, (n,)."""
    places = torch.bucketize(bits, patterns, out_int32=True)
    return torch.bincount(places, minlength=patterns.numel() + 1)


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


def count(
    tensors: Iterable[Any],
    bounds: edges.Bounds,
    moments: list[Rows] | None = None,
    *,
    count_slots: Callable[[Any, Any], Any] = slots,
) -> tuple[NDArray[np.int64], int]:
    """A `CountArrays`; `count_slots` is as `slots`."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    signed = cache(lambda name: edges.edges_of(bounds, np.dtype(name)).signed())
    there = cache(lambda name, device: torch.from_numpy(signed(name).patterns).to(device))

    def finish(its_edges: edges.Edges, counts: list[Any], values: Any) -> None:
        np.add.at(totals, *its_edges.totals(torch.stack(counts).sum(0).cpu().numpy()))
        if moments is not None:
            moments.append(_rows_of(values))

    running = Running(finish)
    for (device, _), batch in batches(tensors, _place, torch.numel):
        rows = [tensor.detach().resolve_neg().reshape(-1) for tensor in batch]
        values = torch.cat(rows) if len(rows) > 1 else rows[0]
        name = dtype_name(values)
        patterns = there(name, device)
        counts = [count_slots(part.view(patterns.dtype), patterns) for part in values.split(BLOCK)]
        kept = values if moments is not None else None
        running.add(0 if kept is None else values.numel(), signed(name), counts, kept)
    running.finish()
    return totals[:-1], int(totals[-1])


def _place(tensor: Any) -> tuple[Any, Any]:
    return tensor.device, tensor.dtype
