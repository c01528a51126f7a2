"""Counting arrays of any framework on NVIDIA's GPUs, by one kernel that reads each value once.

It is given where the arrays lie, so that one call serves all of a dtype and none is copied. What it
does not know, and everything where there is no driver or no compiler, is left to the operations of
the framework.
"""

import ctypes
import logging
from collections.abc import Callable, Iterable, Sequence
from ctypes import c_double, c_int, c_uint64
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gangplank._native import cuda_driver, edges
from gangplank._native.arrays import framework
from gangplank._native.cuda_arrays import Located, is_gone, located
from gangplank._native.cuda_driver import CudaError, Device
from gangplank._native.devices import WHEN_JAX_TRAINS
from gangplank._native.edges import Bounds
from gangplank._native.moments import Moments, Rows, of_sums

SOURCE = Path(__file__).with_name("cuda_kernel.cu")

# Of a block. With 512, few edges took as long on an H200, and many longer: of the blocks that a
# multiprocessor has threads for, each with a table of its own, not all had room.
THREADS = 1024

# A cell's name has so many bits, or the 8 that a value has, and fewer where the table would not fit
# into a block's shared memory otherwise.
MOST_CELL_BITS = 13
LEAST_CELL_BITS = 8

# What a kernel has of that memory for itself, in bytes, and some more.
OWN_MEMORY = 4096

# Those of the source.
CHUNK = 1 << 14
FIELDS = len(Moments._fields)

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
_OF_WIDTH = {1: "Bits8", 2: "Bits16", 4: "Bits32", 8: "Bits64"}

# Why the kernel was not used, of which the log has told.
_told: set[str] = set()

_logger = logging.getLogger(__name__)


class _Work(ctypes.Structure):
    _fields_ = (
        *((name, c_uint64) for name in ("arrays", "sizes", "ends", "chunks", "edges")),
        *((name, c_int) for name in ("edge_count", "padded_count", "first_step")),
        ("cells", c_uint64),
        *((name, c_int) for name in ("cell_count", "shift")),
        ("origin", c_double),
        ("counts", c_uint64),
        ("rows", c_uint64),
    )


class Table(NamedTuple):
    """What a kernel looks values of a dtype up in.

    Attributes:
        edges: signed, E of them.
        padded: their patterns, and behind them what no value exceeds.
        cells: an entry for each, unsigned.
        shift: by so many bits a value is shifted to name its cell.
        first_step: of a search in a cell, 0 if there is none.
    """

    edges: edges.Edges
    padded: NDArray[Any]
    cells: NDArray[Any]
    shift: int
    first_step: int

    @property
    def shared_memory(self) -> int:
        """In bytes, with the counts of a block."""
        return self.cells.nbytes + self.padded.nbytes + 4 * self.edges.buckets.size


@lru_cache(maxsize=64)
def table_of(bounds: Bounds, name: str, shared_memory: int) -> Table | None:
    """The table of the edges of `bounds` in a dtype; None if so much memory has no room for it."""
    signed = edges.edges_of(bounds, np.dtype(name)).signed()
    for cell_bits in range(MOST_CELL_BITS, LEAST_CELL_BITS - 1, -1):
        table = table_with(signed, cell_bits)
        if table.shared_memory + OWN_MEMORY <= shared_memory:
            return table
    return None


def table_with(signed: edges.Edges, cell_bits: int) -> Table:
    """The table of `signed` edges whose cells have names of at most so many bits."""
    patterns, most = signed.patterns, np.iinfo(signed.patterns.dtype).max
    bit_count = 8 * patterns.itemsize
    shift = max(bit_count - cell_bits, 0)
    half = 1 << (bit_count - shift - 1)
    lowest = np.arange(-half, half) << shift
    highest = lowest + ((1 << shift) - 1)
    # An edge at the highest value of a cell is exceeded by none in it.
    entries = np.searchsorted(patterns, lowest.astype(patterns.dtype))
    within = np.searchsorted(patterns, highest.astype(patterns.dtype)) - entries
    entry_bits = max(16, bit_count)
    if within.max() <= 1 and patterns.size >> (entry_bits - shift) == 0:
        first_step, has_edge = 0, within == 1
        behind = highest[has_edge] - patterns[entries[has_edge]]
        entries <<= shift
        entries[has_edge] += behind
    else:
        first_step = 1 << (int(within.max()).bit_length() - 1)
    # The counts, which follow in a block's memory, begin at a multiple of 4 bytes.
    padding = np.full(first_step + -(patterns.size + first_step) % 8, most, patterns.dtype)
    entries = entries.astype(f"u{entry_bits // 8}")
    return Table(signed, np.append(patterns, padding), entries, shift, first_step)


def measure(
    device: Device, arrays: Sequence[Located], table: Table, has_moments: bool
) -> tuple[NDArray[np.int64], Rows | None]:
    """Counts a slot, int64, shape (E + 1,), and the moments if they are wanted.

    Arguments:
        device: where all arrays are.
        arrays: at least one, none of them empty, of one dtype; with moments, of `KINDS`.
        table: that of the dtype.
        has_moments: whether they are wanted.
    """
    dtype = np.dtype(arrays[0].dtype)
    sizes = np.array([each.size for each in arrays], np.uint64)
    ends = (-(-sizes.astype(np.int64) // CHUNK)).cumsum()
    addresses = np.array([each.address for each in arrays], np.uint64)
    counts = np.zeros(table.edges.buckets.size, np.int64)
    places, sent = _packed(addresses, sizes, ends, table.cells, table.padded, counts)
    kind = KINDS[dtype.name] if has_moments else _OF_WIDTH[dtype.itemsize]
    with device.lock, device.current():
        kernel = device.kernel(SOURCE, KIND=kind, HAS_MOMENTS=str(has_moments).lower())
        resident = kernel.resident(THREADS, table.shared_memory)
        blocks = min(int(ends[-1]), device.multiprocessors * resident)
        row_bytes = 8 * FIELDS * blocks if has_moments else 0
        start = device.memory(sent.size + row_bytes)
        device.write(start, sent)
        work = _Work(
            arrays=start + places[0],
            sizes=start + places[1],
            ends=start + places[2],
            chunks=int(ends[-1]),
            cells=start + places[3],
            cell_count=table.cells.size,
            shift=table.shift,
            edges=start + places[4],
            edge_count=table.edges.patterns.size,
            padded_count=table.padded.size,
            first_step=table.first_step,
            counts=start + places[5],
            rows=start + sent.size,
        )
        # The frameworks may still be writing the weights, in streams of their own.
        device.synchronize()

        def launch(origin: float) -> Rows:
            work.origin = origin
            kernel.launch(blocks, THREADS, table.shared_memory, work)
            return device.read(work.rows, row_bytes).view(np.float64).reshape(-1, FIELDS)

        rows = launch(0.0)
        counts = device.read(work.counts, counts.nbytes).view(np.int64)
        if not has_moments:
            return counts, None
        return counts, of_sums(rows, dtype, lambda mean: float(launch(mean)[:, 5].sum()))


def _packed(*arrays: NDArray[Any]) -> tuple[list[int], NDArray[np.uint8]]:
    """Arrays one behind the other, each at a multiple of 16 bytes, and where."""
    sizes = [-(-array.nbytes // 16) * 16 for array in arrays]
    places = [0, *np.cumsum(sizes).tolist()]
    packed = np.zeros(places[-1], np.uint8)
    for place, array in zip(places, arrays, strict=False):
        packed[place : place + array.nbytes] = array.view(np.uint8)
    return places, packed


def operations_of(framework_name: str) -> Any:
    """The `count` of the framework's own operations."""
    return import_module(f"gangplank._native.{framework_name}_ops").count


def count(
    arrays: Iterable[Any],
    bounds: Bounds,
    moments: list[Rows] | None = None,
    *,
    locate: Callable[[Any], Located | None] = located,
    device: Callable[[int], Device] = cuda_driver.device,
    operations_of: Callable[[str], Any] = operations_of,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; the functions are `located`, `device` and `operations_of`."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    here: dict[tuple[int, str], list[Located]] = {}
    left: dict[str, list[Any]] = {}
    for array in arrays:
        there = None
        try:
            there = locate(array)
        # A framework may not tell, for reasons of its own, but count all the same.
        except Exception as error:
            _tell(error)
        if there is None or (moments is not None and there.dtype not in KINDS):
            left.setdefault(str(framework(array)), []).append(array)
        elif there.size:
            here.setdefault((there.device, there.dtype), []).append(there)
    for (ordinal, name), some in here.items():
        try:
            table = table_of(bounds, name, device(ordinal).shared_memory)
            if table is None:
                raise CudaError(f"{bounds.values.size} bounds do not fit into its shared memory")
            slots, rows = measure(device(ordinal), some, table, moments is not None)
        except CudaError as error:
            _tell(error)
            for each in some:
                left.setdefault(str(framework(each.array)), []).append(each.array)
            continue
        if any(map(is_gone, some)):
            raise RuntimeError(f"they were donated to a step meanwhile. {WHEN_JAX_TRAINS}")
        np.add.at(totals, *table.edges.totals(slots))
        if moments is not None and rows is not None:
            moments.append(rows)
    for owner, others in left.items():
        counts, nan_count = operations_of(owner)(others, bounds, moments)
        totals += np.append(counts, nan_count)
    return totals[:-1], int(totals[-1])


def _tell(error: Exception) -> None:
    if str(error) not in _told:
        _told.add(str(error))
        _logger.warning("Weights on a GPU are counted by their framework's operations: %s", error)
