"""The kernel for CUDA, given groups of arrays of one dtype on one of NVIDIA's GPUs."""

import ctypes
from collections.abc import Callable, Sequence
from ctypes import c_int, c_uint64
from functools import cache, lru_cache
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gangplank._native.cuda.arrays import Located
from gangplank._native.cuda.driver import Device, Kernel
from gangplank._native.cuda.table import Table
from gangplank._native.moments import Moments, Rows, of_sums

SOURCE = Path(__file__).with_name("kernel.cu")

# Of a block. With 512, few edges took as long on an H200, and many longer: of the blocks that a
# multiprocessor has threads for, each with a table of its own, not all had room.
THREADS = 1024

# Those of the source.
CHUNK = 1 << 14
FIELDS = len(Moments._fields)

# What the counters of a block hold, of 32 bits.
MOST_CHUNKS = (1 << 32) // CHUNK - 1

# What the source calls the types whose values it knows.
KINDS = {
    "float32": "Float32",
    "float16": "Float16",
    "bfloat16": "BFloat16",
    "float8_e4m3fn": "Float8E4M3FN",
    "float8_e5m2": "Float8E5M2",
    "int8": "Int8",
    "uint8": "UInt8",
}

# Of which only the bits are wanted.
OF_WIDTH = {1: "Bits8", 2: "Bits16", 4: "Bits32", 8: "Bits64"}


class _Work(ctypes.Structure):
    _fields_ = (
        *((name, c_uint64) for name in ("arrays", "sizes", "ends", "starts", "firsts", "groups")),
        *((name, c_uint64) for name in ("origins", "table")),
        *((name, c_int) for name in ("table_size", "cell_count", "edge_count")),
        *((name, c_int) for name in ("shift", "first_step")),
        *((name, c_uint64) for name in ("limit", "counts", "rows")),
    )


class _Launch(NamedTuple):
    """A kernel with all that it takes."""

    device: Device
    kernel: Kernel
    blocks: int
    shared_memory: int
    work: _Work
    row_bytes: int

    def sums(self, origins: NDArray[np.float64] | None = None) -> Rows:
        """What each block sums up, of distances from the origins of the groups, at first 0."""
        if origins is not None:
            self.device.write(self.work.origins, origins)
        self.kernel.launch(self.blocks, THREADS, self.shared_memory, self.work)
        sums = self.device.read(self.work.rows, self.row_bytes)
        return sums.view(np.float64).reshape(-1, FIELDS)


class Division(NamedTuple):
    """How the chunks of arrays are divided among D blocks; all are int64.

    Attributes:
        sizes: of the arrays.
        ends: how many chunks each array has, with those of the arrays before.
        starts: at which chunk each block begins, and where the last one ends: shape (D + 1,).
        firsts: in which array that is: shape (D,).
        groups: of which group: shape (D,).
    """

    sizes: NDArray[np.int64]
    ends: NDArray[np.int64]
    starts: NDArray[np.int64]
    firsts: NDArray[np.int64]
    groups: NDArray[np.int64]


# The weights of a model are as many at each count, and half of what Python does for a call of one
# array would go by here.
@lru_cache(maxsize=16)
def divided(sizes: tuple[int, ...], array_counts: tuple[int, ...], at_once: int) -> Division:
    """Shares of the chunks for `at_once` blocks, or more: each is of one group, and not too large.

    Arguments:
        sizes: of the arrays, none of which is 0.
        array_counts: how many of them each group has, none of which is 0.
        at_once: how many blocks the device runs at the same time.
    """
    of_arrays = np.array(sizes, np.int64)
    ends = (-(-of_arrays // CHUNK)).cumsum()
    group_ends = ends[np.cumsum(array_counts) - 1]
    share = min(-(-int(ends[-1]) // at_once), MOST_CHUNKS)
    starts = np.concatenate([np.arange(0, ends[-1], share), group_ends])
    starts.sort()
    starts = starts[np.append(True, starts[1:] > starts[:-1])]
    firsts, groups = (np.searchsorted(each, starts[:-1], "right") for each in (ends, group_ends))
    return Division(of_arrays, ends, starts, firsts, groups)


def measure(
    device: Device, groups: Sequence[Sequence[Located]], table: Table, has_moments: bool
) -> tuple[NDArray[np.int64], Sequence[Rows | None]]:
    """The counts a slot of each of G groups, int64, shape (G, E + 1), and their moments or None.

    Arguments:
        device: where all arrays are.
        groups: at least one, each of at least one array, none of them empty and all of one dtype;
            with moments, of `KINDS`.
        table: that of the dtype.
        has_moments: whether they are wanted.
    """
    arrays = [array for group in groups for array in group]
    sizes = tuple(array.size for array in arrays)
    array_counts = tuple(len(group) for group in groups)
    dtype = np.dtype(arrays[0].dtype)
    with device.lock, device.current():
        kernel = _kernel(device, dtype, table, has_moments)
        at_once = device.multiprocessors * kernel.resident(THREADS, table.shared_memory)
        division = divided(sizes, array_counts, at_once)
        addresses = np.array([array.address for array in arrays], np.int64)
        origins = np.zeros(len(groups), np.int64)
        given = addresses, *division, origins, table.packed.view(np.int64)
        shape = len(groups), table.edges.buckets.size
        count_bytes = 8 * shape[0] * shape[1]
        blocks = division.groups.size
        row_bytes = 8 * FIELDS * blocks if has_moments else 0
        given_bytes = 8 * sum(each.size for each in given)
        start = device.memory(given_bytes + count_bytes + row_bytes)
        *places, counts = accumulate((8 * each.size for each in given), initial=start)
        device.write(start, np.concatenate(given))
        device.clear(counts, count_bytes)
        work = _Work(
            *places,
            table_size=table.packed.size,
            cell_count=table.cell_count,
            edge_count=table.edges.patterns.size,
            shift=table.shift,
            first_step=table.first_step,
            limit=table.limit,
            counts=counts,
            rows=counts + count_bytes,
        )
        # The frameworks may still be writing the weights, in streams of their own.
        device.synchronize()
        launch = _Launch(device, kernel, blocks, table.shared_memory, work, row_bytes)
        sums = launch.sums()
        slots = device.read(counts, count_bytes).view(np.int64).reshape(shape)
        if not has_moments:
            return slots, [None] * len(groups)
        return slots, _rows(sums, division.groups, dtype, launch.sums)


def _kernel(device: Device, dtype: np.dtype[Any], table: Table, has_moments: bool) -> Kernel:
    return device.kernel(
        SOURCE,
        KIND=KINDS[dtype.name] if has_moments else OF_WIDTH[dtype.itemsize],
        HAS_MOMENTS=str(has_moments).lower(),
        SHIFT=str(table.shift),
        FIRST_STEP=str(table.first_step),
    )


def _rows(
    sums: Rows,
    groups: NDArray[np.int64],
    dtype: np.dtype[Any],
    sums_from: Callable[[NDArray[np.float64]], Rows],
) -> list[Rows]:
    """The moments of each group, from the sums of its blocks, which follow one another."""
    begins = np.searchsorted(groups, np.arange(groups[-1] + 1))

    @cache
    def from_means() -> Rows:
        totals = np.add.reduceat(sums, begins)
        return sums_from(totals[:, 4] / np.maximum(totals[:, 0], 1))

    def row(part: slice) -> Rows:
        return of_sums(sums[part], dtype, lambda _: float(from_means()[part, 5].sum()))

    return [row(slice(*ends)) for ends in pairwise([*begins.tolist(), groups.size])]
