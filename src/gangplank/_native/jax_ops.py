"""Counting JAX arrays on the devices where they live; only the counts leave them.

One program counts all of a model's arrays, and is compiled once. Of arrays that are sharded over a
mesh each device counts its own share, and XLA adds up the counts, over processes too.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from numpy.typing import NDArray

from gangplank._native import edges

# With more edges, a binary search and a scatter take less time than a comparison an edge.
FEW = 64

# Bounds the temporary arrays of that search: some of 4 bytes a value.
BLOCK = 1 << 22

# JAX has no 64 bits unless it is set to; 32 count and index so many values.
MOST = (1 << 31) - 1

# Smaller arrays are counted as one: each of them would be a loop to compile.
SMALL = 1 << 16

# XLA has no bitcast for what is smaller than a byte.
_WIDENED = {"int2": "int8", "int4": "int8", "uint2": "uint8", "uint4": "uint8"}


def slots(row: Any, patterns: Any) -> Any:
    """How many values of `row` lie in each of the slots that `patterns` part: uint32, (E + 1,)."""
    if patterns.size > FEW:
        return _by_search(row, patterns)
    bits = lax.bitcast_convert_type(row, patterns.dtype)
    at_most = [(bits <= pattern).astype(jnp.uint32) for pattern in patterns]
    if at_most:
        # One reduction with many results: a sum an edge made XLA write a temporary array an edge.
        zeros = [jnp.uint32(0)] * len(at_most)
        at_most = lax.reduce(at_most, zeros, partial(jax.tree.map, lax.add), (0,))
    return jnp.diff(jnp.stack([jnp.uint32(0), *at_most, jnp.uint32(row.size)]))


def _by_search(row: Any, patterns: Any) -> Any:
    def add(values: Any, counts: Any) -> Any:
        bits = lax.bitcast_convert_type(values, patterns.dtype)
        places = jnp.searchsorted(patterns, bits, method="scan_unrolled")
        return counts.at[places].add(jnp.uint32(1))

    def add_block(i: Any, counts: Any) -> Any:
        return add(lax.dynamic_slice(row, (i * BLOCK,), (BLOCK,)), counts)

    blocks = row.size // BLOCK
    counts = add(row[blocks * BLOCK :], jnp.zeros(patterns.size + 1, jnp.uint32))
    return lax.fori_loop(0, blocks, add_block, counts) if blocks else counts


def slots_of_all(
    arrays: Sequence[Any], patterns: dict[str, Any], specs: Sequence[PartitionSpec]
) -> dict[str, Any]:
    """`slots` by the name of the dtype, in P parts, of what a device holds of arrays of `specs`.

    The lower and the upper halves of the counts, uint32, shape (2, E + 1, P), so that they can be
    added up over devices: these together hold more of an array than 32 bits count.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
    for array, spec in zip(arrays, specs, strict=True):
        name = _dtype(array).name
        groups.setdefault((name, _axes(spec)), []).append(array.astype(name).ravel())
    counted: dict[str, list[Any]] = {name: [] for name in patterns}
    for (name, axes), rows in groups.items():
        parts = jnp.stack([slots(part, patterns[name]) for part in _parts(rows)], axis=1)
        counted[name].append(lax.psum(jnp.stack([parts & 0xFFFF, parts >> 16]), axes))
    return {name: jnp.concatenate(parts, axis=2) for name, parts in counted.items()}


def _parts(rows: Sequence[Any]) -> Iterator[Any]:
    """The rows as some that are neither small nor longer than `MOST`."""
    small = [row for row in rows if row.size < SMALL]
    if small:
        yield jnp.concatenate(small)
    for row in rows:
        if row.size >= SMALL:
            yield from (row[start : start + MOST] for start in range(0, row.size, MOST))


@cache
def compiled_slots_of_all(mesh: Mesh | None, specs: tuple[PartitionSpec, ...]) -> Any:
    """`slots_of_all`, compiled once for all arrays of a model, on their device or their mesh."""
    count_local = partial(slots_of_all, specs=specs)
    if mesh is None:
        return jax.jit(count_local)
    replicated = PartitionSpec()
    return jax.jit(
        jax.shard_map(
            count_local,
            mesh=mesh,
            in_specs=(list(specs), replicated),
            out_specs=replicated,
            check_vma=False,
        )
    )


def count(arrays: Iterable[Any], bounds: NDArray[np.float64]) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`."""
    totals = np.zeros(bounds.size + 2, np.int64)
    groups: dict[Any, list[Any]] = {}
    for array in arrays:
        groups.setdefault(_where(array), []).append(array)
    for (_, mesh), group in groups.items():
        specs = tuple(each.sharding.spec if mesh else PartitionSpec() for each in group)
        by_dtype = {dtype.name: edges.edges_of(bounds, dtype) for dtype in set(map(_dtype, group))}
        patterns = {name: its_edges.patterns for name, its_edges in by_dtype.items()}
        is_wide = any(pattern.itemsize == 8 for pattern in patterns.values())
        # Else JAX would halve the patterns of arrays that were made where it has 64 bits.
        with jax.enable_x64(True) if is_wide else nullcontext():
            counted = compiled_slots_of_all(mesh, specs)(group, patterns)
        for name, parts in counted.items():
            lower, upper = np.asarray(parts).sum(axis=2, dtype=np.int64)
            totals += by_dtype[name].totals(lower + (upper << 16))
    return totals[:-1], int(totals[-1])


def _where(array: Any) -> tuple[Any, Mesh | None]:
    """What arrays have in common that one program can count: a device or a mesh."""
    devices = array.sharding.device_set
    return (next(iter(devices)), None) if len(devices) == 1 else (None, array.sharding.mesh)


def _dtype(array: Any) -> np.dtype[Any]:
    name: str = array.dtype.name
    return np.dtype(_WIDENED.get(name, name))


def _axes(spec: PartitionSpec) -> tuple[str, ...]:
    """The names of the mesh's axes over which an array is sharded."""
    names = ((entry,) if isinstance(entry, str) else entry or () for entry in spec)
    return tuple(sorted(name for group in names for name in group))
