"""A Triton kernel for PyTorch's tensors on CUDA, which reads each weight once.

A program searches the places of a block of values among the edges, which stay in the processor's
first cache, and makes a histogram of them in its shared memory. Only at the end of its blocks it
adds what it has counted to the counts of all: one atomic operation for each slot that has values.
"""

from typing import Any

import torch
import triton
import triton.language as tl

from gangplank._native.moments import Moments

BLOCK = 1024

# Some for each of the processors of a large device.
MOST_PROGRAMS = 2048

_BITS = {1: tl.int8, 2: tl.int16, 4: tl.int32, 8: tl.int64}


# Triton reads the annotations as a part of the kernel.
@triton.jit  # type: ignore[untyped-decorator]
def _find(  # type: ignore[no-untyped-def]
    values,
    patterns,
    counts,
    rows,
    size,
    blocks,
    pattern_type: tl.constexpr,
    bins: tl.constexpr,
    block: tl.constexpr,
    has_moments: tl.constexpr,
):
    """Counts how many of `values` have so many of `patterns` below them, and sums them up."""
    program = tl.program_id(0).to(tl.int64)
    slots = tl.arange(0, bins)
    counted = tl.zeros([bins], tl.int32)
    finite = tl.zeros([block], tl.int32)
    nan, infinite, zero = finite, finite, finite
    total = tl.zeros([block], tl.float64)
    squares, minimum, maximum = total, total + float("inf"), total - float("inf")
    for i in range(blocks):
        offsets = (program * blocks + i) * block + tl.arange(0, block)
        is_there = offsets < size
        value = tl.load(values + offsets, mask=is_there, other=0)
        places = tl.zeros([block], tl.int32)
        for k in tl.static_range(1, 32):
            if bins >> k > 0:
                pattern = tl.load(patterns + places + ((bins >> k) - 1))
                places += tl.where(pattern < value.to(pattern_type, bitcast=True), bins >> k, 0)
        # What is not there is counted in the first slot, and taken out of it: the histogram of
        # Triton has no mask before its version 3.4.
        absent = block - tl.sum(is_there.to(tl.int32))
        counted += tl.histogram(tl.where(is_there, places, 0), bins)
        counted -= tl.where(slots == 0, absent, 0)
        if has_moments:
            exact = value.to(tl.float64)
            is_nan = is_there & (exact != exact)
            is_finite = is_there & (tl.abs(exact) < float("inf"))
            nan += is_nan
            finite += is_finite
            infinite += is_there & (tl.abs(exact) == float("inf"))
            zero += is_there & (exact == 0.0)
            total += tl.where(is_finite, exact, 0.0)
            squares += tl.where(is_finite, exact * exact, 0.0)
            minimum = tl.minimum(minimum, tl.where(is_finite, exact, float("inf")))
            maximum = tl.maximum(maximum, tl.where(is_finite, exact, -float("inf")))
    tl.atomic_add(counts + slots, counted.to(tl.int64), mask=counted > 0)
    if has_moments:
        row = rows + program * 8
        tl.store(row, tl.sum(finite).to(tl.float64))
        tl.store(row + 1, tl.sum(nan).to(tl.float64))
        tl.store(row + 2, tl.sum(infinite).to(tl.float64))
        tl.store(row + 3, tl.sum(zero).to(tl.float64))
        tl.store(row + 4, tl.sum(total))
        tl.store(row + 5, tl.sum(squares))
        tl.store(row + 6, tl.min(minimum))
        tl.store(row + 7, tl.max(maximum))


def find(values: Any, patterns: Any, has_moments: bool) -> tuple[Any, Any]:
    """Counts a slot, int64, shape (E + 1,), and a row of sums a program, float64, shape (P, 8).

    In a row the sum of the squares stands where `Moments` has that of the squared distances.

    Arguments:
        values: contiguous, shape (n,), n >= 1, of a dtype that Triton knows.
        patterns: signed, of as many bits, shape (E,): edges among those of the values.
        has_moments: whether sums are wanted; if not, the rows mean nothing.
    """
    device = values.device
    bins = triton.next_power_of_2(patterns.numel() + 1)
    most = torch.iinfo(patterns.dtype).max
    padded = torch.full((bins,), most, dtype=patterns.dtype, device=device)
    padded[: patterns.numel()] = patterns
    counts = torch.zeros(bins, dtype=torch.int64, device=device)
    blocks = triton.cdiv(values.numel(), BLOCK)
    programs = min(blocks, MOST_PROGRAMS)
    rows = torch.empty((programs, len(Moments._fields)), dtype=torch.float64, device=device)
    # Else Triton would take it for one of the first of several devices.
    with torch.cuda.device_of(values):
        _find[(programs,)](
            values,
            padded,
            counts,
            rows,
            values.numel(),
            triton.cdiv(blocks, programs),
            pattern_type=_BITS[patterns.itemsize],
            bins=bins,
            block=BLOCK,
            has_moments=has_moments,
        )
    return counts[: patterns.numel() + 1], rows
