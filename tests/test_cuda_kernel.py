"""Groups of arrays on a GPU: counted by as few calls of the kernel as their counts leave room."""

from itertools import pairwise

import cuda_on_cpu
import numpy as np
import pytest
from cuda_on_cpu import needs_compiler, normal

from gangplank._native import moments, reference
from gangplank._native.cuda import kernel as cuda_kernel
from gangplank._native.cuda import ops as cuda_ops
from gangplank._native.cuda.driver import CudaError
from gangplank._native.edges import Bounds
from gangplank._native.measured import Measured

BOUNDS = Bounds.of(np.linspace(-1, 1, 13))
CHUNK = cuda_kernel.CHUNK
NOT_FINITE = np.array([np.nan, -np.inf, 0.0, 1e30, np.inf], np.float32)
GROUPS = [
    [normal(3 * CHUNK), normal(7, np.float16), normal(20)],
    [],
    [normal(0)],
    [normal(5), NOT_FINITE],
    [normal(9 * CHUNK + 1), normal(30, np.float16), normal(4, np.float64)],
]


def measured(groups, *, has_moments=False, **functions):
    """What the kernel finds in each group, of which not all arrays follow one another."""
    pieces = [(number, array) for number, group in enumerate(groups) for array in group]
    pieces.sort(key=lambda piece: piece[1].size)
    found = [Measured() for _ in groups]
    cuda_on_cpu.measure(pieces, BOUNDS, found, has_moments=has_moments, **functions)
    return found


def assert_exact(found, groups):
    for each, group in zip(found, groups, strict=True):
        counts, nan_count = each.counts(BOUNDS)
        expected_counts, expected_nan_count = reference.count(group, BOUNDS)
        assert counts.tolist() == expected_counts.tolist()
        assert nan_count == expected_nan_count


@needs_compiler
@pytest.mark.parametrize(("together", "calls"), [(1 << 20, 3), (2 * 17, 4), (1, 6)])
def test_groups_in_one_call(together, calls, monkeypatch):
    """Of a dtype, or in several where they would leave too many counts."""
    launched = cuda_on_cpu.noted_launches(monkeypatch)
    monkeypatch.setattr(cuda_ops, "TOGETHER", together)
    assert_exact(measured(GROUPS), GROUPS)
    assert len(launched) == calls


@needs_compiler
def test_moments_of_groups():
    """Also where the mean of some is so far from zero that a further pass is wanted."""
    near = [normal(3 * CHUNK), normal(20)]
    far = [array + np.float32(1e3) for array in near]
    nan = np.full(7, np.nan, np.float32)
    groups = [near, far, [nan], [NOT_FINITE, normal(9)], [-array for array in far], near[1:]]
    for each, group in zip(measured(groups, has_moments=True), groups, strict=True):
        found = each.moments()
        expected = moments.added_up([moments.moments_of(array) for array in group])
        assert found[:4] == expected[:4]
        assert found[4:6] == pytest.approx(expected[4:6], rel=1e-12)
        assert found[6:] == expected[6:]


@needs_compiler
def test_a_device_that_fails_between_calls(monkeypatch):
    """What it has counted before is not counted again; the framework counts the others."""
    launched, left = [], []
    launch = cuda_on_cpu.Kernel.launch

    def failing(*arguments):
        if launched:
            raise CudaError("an illegal address")
        launched.append(launch(*arguments))

    def operations_of(_):
        return lambda arrays, *arguments: (
            left.append(len(arrays)) or reference.count(arrays, *arguments[:1])
        )

    groups = [[normal(10), normal(20)], [normal(30)], [normal(CHUNK), normal(40), normal(50)]]
    monkeypatch.setattr(cuda_ops, "TOGETHER", 1)
    monkeypatch.setattr(cuda_ops, "_told", set())
    monkeypatch.setattr(cuda_on_cpu.Kernel, "launch", failing)
    assert_exact(measured(groups, operations_of=operations_of), groups)
    assert left == [1, 3]


def test_counters_of_a_block_are_never_full():
    starts = cuda_kernel.divided((1 << 40,), (1,), 6).starts
    assert np.diff(starts).max() * CHUNK < 1 << 32


@pytest.mark.parametrize("at_once", [1, 6, 264])
def test_how_blocks_share_groups(at_once):
    sizes = np.array([1, 40 * CHUNK, CHUNK + 1, *[5] * 50, 7 * CHUNK])
    counts = [1, 2, *[1] * 49, 2]
    division = cuda_kernel.divided(tuple(sizes.tolist()), tuple(counts), at_once)
    chunks = -(-sizes // CHUNK)
    array_of = np.repeat(np.arange(sizes.size), chunks)
    group_of = np.repeat(np.arange(len(counts)), counts)[array_of]
    assert division.sizes.tolist() == sizes.tolist()
    assert division.ends.tolist() == chunks.cumsum().tolist()
    assert division.starts[[0, -1]].tolist() == [0, chunks.sum()]
    assert division.groups.size < at_once + len(counts)
    for block, (start, stop) in enumerate(pairwise(division.starts.tolist())):
        assert 0 < stop - start <= -(-chunks.sum() // at_once)
        assert {*group_of[start:stop]} == {division.groups[block]}
        assert array_of[start] == division.firsts[block]
