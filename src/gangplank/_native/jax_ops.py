"""Counting JAX arrays on the devices where they live; only the counts leave them.

One program counts all of a model's arrays, and is compiled once. Of arrays that are sharded over a
mesh each device counts its own share, and XLA adds up the counts, over processes too.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.moments import Rows

# With more edges, a binary search and a scatter take less time than a comparison an edge: on a CPU.
FEW = 64

# Bounds the temporary arrays of that search, some of 4 or 8 bytes a value.
BLOCK = 1 << 20

# JAX has no 64 bits unless it is set to; 32 count and index so many values.
MOST = (1 << 31) - 1

# Shorter rows are joined to batches of this length at most.
LONG = 1 << 22

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


def moments_of(row: Any, size: Any) -> Any:
    """The `Moments` of the first `size` values of `row`: float64, shape (8,)."""
    exact, is_zero = _exact(row)
    is_there = jnp.arange(row.size) < size
    is_finite = jnp.isfinite(exact) & is_there
    finite_size = jnp.count_nonzero(is_finite)
    total = jnp.sum(exact, where=is_finite)
    distances = exact - total / jnp.maximum(finite_size, 1)
    squares = jnp.sum(distances * distances, where=is_finite)
    minimum = jnp.min(exact, where=is_finite, initial=jnp.inf)
    maximum = jnp.max(exact, where=is_finite, initial=-jnp.inf)
    others = [
        jnp.count_nonzero(condition & is_there)
        for condition in (jnp.isnan(exact), jnp.isinf(exact), is_zero)
    ]
    moments = [finite_size, *others, total, squares, minimum, maximum]
    return jnp.stack([moment.astype(jnp.float64) for moment in moments])


def _exact(row: Any) -> tuple[Any, Any]:
    """`row` as float64, and which values are zero: by their bits, since XLA flushes subnormals."""
    exact = row.astype(jnp.float64)
    if row.dtype.name not in ("float64", "float32", "float16", "bfloat16"):
        return exact, exact == 0
    limits = jnp.finfo(row.dtype)
    if limits.bits == 64:
        # LLVM would make a comparison of floats of one of all the bits.
        low, high = jnp.moveaxis(lax.bitcast_convert_type(row, jnp.uint32), -1, 0)
        return exact, (low | high << 1) == 0
    bits = lax.bitcast_convert_type(row, f"int{limits.bits}").astype(jnp.int64)
    magnitudes = bits & ((1 << (limits.bits - 1)) - 1)
    tiny = jnp.copysign(magnitudes * 2.0 ** (limits.minexp - limits.nmant), bits)
    exact = jnp.where(magnitudes < 1 << limits.nmant, tiny, exact)
    return exact, magnitudes == 0


Found = tuple[Any, Any]
"""`slots` and, as float64, `moments_of`, which are of shape (0,) where they are not wanted."""


def _measured(row: Any, size: Any, patterns: Any, has_moments: bool) -> Found:
    return slots(row, patterns), moments_of(row, size) if has_moments else jnp.zeros(0)


def measured_rows(rows: Sequence[Any], patterns: Any, has_moments: bool) -> Found:
    """`Found` of P batches of the values of `rows`: shapes (P, E + 1) and (P, 8 or 0)."""
    alike: dict[int, list[list[Any]]] = {}
    joined: list[list[Any]] = [[]]
    size = 0
    for row in rows:
        if row.size >= LONG:
            for part in (row[start : start + MOST] for start in range(0, row.size, MOST)):
                alike.setdefault(part.size, []).append([part])
            continue
        if size + row.size > LONG:
            joined.append([])
            size = 0
        joined[-1].append(row)
        size += row.size
    loops = [*alike.values(), joined] if joined[0] else [*alike.values()]
    measured = [_measured_in_a_loop(batches, patterns, has_moments) for batches in loops]
    counts, moments = zip(*measured, strict=True)
    return jnp.concatenate(counts), jnp.concatenate(moments)


def _measured_in_a_loop(
    batches: Sequence[Sequence[Any]], patterns: Any, has_moments: bool
) -> Found:
    """`Found` of each batch.

    XLA takes 50 ms and more to compile them, on a CPU, so they are compiled once for all batches.
    That costs a copy of a batch at a time, unless there is only one.
    """
    sizes = [sum(row.size for row in batch) for batch in batches]
    length = max(sizes)

    def joined(batch: Sequence[Any], size: int) -> Any:
        return jnp.pad(jnp.concatenate(batch), (0, length - size))

    branches = [partial(joined, batch, size) for batch, size in zip(batches, sizes, strict=True)]
    if len(branches) == 1:
        counts, moments = _measured(branches[0](), length, patterns, has_moments)
        return counts[np.newaxis], moments[np.newaxis]
    sizes_there = jnp.array(sizes, "int32")
    counts, moments = lax.map(
        lambda i: _measured(lax.switch(i, branches), sizes_there[i], patterns, has_moments),
        jnp.arange(len(branches), dtype="int32"),
    )
    # Zeros, as are the padding, lie in the first slot.
    return counts.at[:, 0].subtract(np.subtract(length, sizes).astype(np.uint32)), moments


def measured_all(
    arrays: Sequence[Any],
    patterns: dict[str, Any],
    specs: Sequence[PartitionSpec],
    has_moments: bool,
) -> dict[str, Found]:
    """`measured_rows` by the name of the dtype, of what a device holds of arrays of `specs`.

    The lower and the upper halves of the counts, uint32, shape (2, P, E + 1), so that they can be
    added up over devices: these together hold more of an array than 32 bits count. The moments of
    each device, one after the other.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
    for array, spec in zip(arrays, specs, strict=True):
        name = _dtype(array).name
        groups.setdefault((name, _axes(spec)), []).append(array.astype(name).ravel())
    measured: dict[str, list[Found]] = {name: [] for name in patterns}
    for (name, axes), rows in groups.items():
        counts, moments = measured_rows(rows, patterns[name], has_moments)
        halves = lax.psum(jnp.stack([counts & 0xFFFF, counts >> 16]), axes)
        everywhere = lax.all_gather(moments, axes, tiled=True) if axes else moments
        measured[name].append((halves, everywhere))
    return {
        name: (
            jnp.concatenate([halves for halves, _ in of_dtype], axis=1),
            jnp.concatenate([moments for _, moments in of_dtype]),
        )
        for name, of_dtype in measured.items()
    }


@lru_cache(maxsize=8)
def compiled_measured_all(mesh: Mesh, specs: tuple[PartitionSpec, ...], has_moments: bool) -> Any:
    """`measured_all`, compiled once for all arrays of a model, which lie on `mesh`."""
    replicated = PartitionSpec()
    return jax.jit(
        jax.shard_map(
            partial(measured_all, specs=specs, has_moments=has_moments),
            mesh=mesh,
            in_specs=(list(specs), replicated),
            out_specs=replicated,
            check_vma=False,
        )
    )


def count(
    arrays: Iterable[Any],
    bounds: edges.Bounds,
    moments: list[Rows] | None = None,
    *,
    program_for: Callable[[Mesh, tuple[PartitionSpec, ...], bool], Any] = compiled_measured_all,
) -> tuple[NDArray[np.int64], int]:
    """As `gangplank._native.count`; `program_for` gives `measured_all`, compiled."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    by_mesh: dict[Mesh, list[Any]] = {}
    for array in arrays:
        by_mesh.setdefault(mesh_of(array), []).append(array)
    for mesh, group in by_mesh.items():
        specs = tuple(getattr(array.sharding, "spec", PartitionSpec()) for array in group)
        by_dtype = {dtype.name: edges.edges_of(bounds, dtype) for dtype in set(map(_dtype, group))}
        patterns = {name: its_edges.patterns for name, its_edges in by_dtype.items()}
        has_moments = moments is not None
        is_wide = has_moments or any(pattern.itemsize == 8 for pattern in patterns.values())
        # Else JAX would halve the patterns of arrays that were made where it has 64 bits.
        with jax.set_mesh(mesh), jax.enable_x64(True) if is_wide else nullcontext():
            measured = program_for(mesh, specs, has_moments)(group, patterns)
        for name, (halves, its_moments) in measured.items():
            lower, upper = np.asarray(halves).sum(axis=1, dtype=np.int64)
            np.add.at(totals, *by_dtype[name].totals(lower + (upper << 16)))
            if moments is not None:
                moments.append(np.asarray(its_moments))
    return totals[:-1], int(totals[-1])


def mesh_of(array: Any) -> Mesh:
    """The devices of `array`: its mesh, or one of its only device."""
    sharding = array.sharding
    if isinstance(sharding, NamedSharding):
        return sharding.mesh
    return Mesh(np.array(list(sharding.device_set)), "device")


def _dtype(array: Any) -> np.dtype[Any]:
    name: str = array.dtype.name
    return np.dtype(_WIDENED.get(name, name))


def _axes(spec: PartitionSpec) -> tuple[str, ...]:
    """The names of the mesh's axes over which an array is sharded."""
    names = ((entry,) if isinstance(entry, str) else entry or () for entry in spec)
    return tuple(sorted(name for group in names for name in group))
