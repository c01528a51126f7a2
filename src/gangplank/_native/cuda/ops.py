"""Counting arrays of any framework on NVIDIA's GPUs, by one kernel that reads each value once.

It is given where the arrays lie, so that one call serves all of a dtype, of whatever groups, and
none is copied. What it does not know, and everything where there is no driver or no compiler, is
left to the operations of the framework.
"""

from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from itertools import chain, islice
from typing import Any

from gangplank._native.arrays import framework
from gangplank._native.cuda import driver, kernel
from gangplank._native.cuda.arrays import Located, is_gone, located
from gangplank._native.cuda.driver import CudaError, Device
from gangplank._native.cuda.table import Table, table_of
from gangplank._native.devices import WHEN_JAX_TRAINS
from gangplank._native.edges import Bounds
from gangplank._native.measured import Measured, measure_by
from gangplank.harmless_logger import HarmlessLogger

# So many counts at most leave a device at a time, of 8 bytes each, as long as a group has fewer.
TOGETHER = 1 << 20

# Why the kernel was not used, of which the log has told.
_told: set[str] = set()

_logger = HarmlessLogger(__name__)


def operations_of(framework_name: str) -> Any:
    """The `count` of the framework's own operations."""
    return import_module(f"gangplank._native.{framework_name}_ops").count


def measure(
    pieces: Iterable[tuple[int, Any]],
    bounds: Bounds,
    groups: Sequence[Measured],
    *,
    has_moments: bool = False,
    locate: Callable[[Any], Located | None] = located,
    device: Callable[[int], Device] = driver.device,
    operations_of: Callable[[str], Any] = operations_of,
) -> None:
    """Adds to each of `groups` what it has: counts and, if they are wanted, moments.

    Arguments:
        pieces: arrays, with the numbers of their groups.
        bounds: the upper bounds of the buckets.
        groups: what is known of each.
        has_moments: whether moments are wanted.
        locate: tells where an array lies.
        device: gives that of a number.
        operations_of: gives the `count` of a framework.
    """
    here: dict[tuple[int, str], dict[int, list[Located]]] = {}
    left: list[tuple[int, Any]] = []
    for group, array in pieces:
        there = None
        try:
            there = locate(array)
        # A framework may not tell, for reasons of its own, but count all the same.
        except Exception as error:
            _tell(error)
        if there is None or (has_moments and there.dtype not in kernel.KINDS):
            left.append((group, array))
        elif there.size:
            here.setdefault((there.device, there.dtype), {}).setdefault(group, []).append(there)
    for (ordinal, name), by_group in here.items():
        try:
            table = table_of(bounds, name, device(ordinal).shared_memory)
            if table is None:
                raise CudaError(f"{bounds.values.size} bounds do not fit into its shared memory")
            _measure_here(device(ordinal), by_group, table, groups, has_moments)
        except CudaError as error:
            _tell(error)
            left += [(group, each.array) for group, some in by_group.items() for each in some]
    by_owner: dict[str, list[tuple[int, Any]]] = {}
    for group, array in left:
        by_owner.setdefault(str(framework(array)), []).append((group, array))
    for owner, others in by_owner.items():
        measure_by(operations_of(owner), others, bounds, groups, has_moments=has_moments)


def _measure_here(
    device: Device,
    by_group: dict[int, list[Located]],
    table: Table,
    groups: Sequence[Measured],
    has_moments: bool,
) -> None:
    """Adds to `groups` what their arrays have, and takes those out of `by_group`."""
    while by_group:
        some = list(islice(by_group, max(TOGETHER // table.edges.buckets.size, 1)))
        arrays = [by_group[group] for group in some]
        slots, rows = kernel.measure(device, arrays, table, has_moments)
        if any(map(is_gone, chain(*arrays))):
            raise RuntimeError(f"they were donated to a step meanwhile. {WHEN_JAX_TRAINS}")
        for group, counts, row in zip(some, slots, rows, strict=True):
            groups[group].add(table.edges.totals(counts), row)
            del by_group[group]


def _tell(error: Exception) -> None:
    if str(error) not in _told:
        _told.add(str(error))
        _logger.warning("Weights on a GPU are counted by their framework's operations: %s", error)
