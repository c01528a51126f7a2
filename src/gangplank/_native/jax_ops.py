"""Counting JAX arrays on the devices where they live; only the counts leave them.

A large array is counted where it lies, by a program that is compiled once for all of its shape;
small ones are joined. Of arrays that are sharded over a mesh each device counts its own share, and
XLA adds up the counts, over processes too.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import cache, lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from numpy.typing import NDArray

from gangplank._native import edges
from gangplank._native.devices import FEW, MOST_IN_32_BITS, batches
from gangplank._native.moments import MOST_OF_MEAN, NARROW, Rows

# Bounds the temporary arrays of a search, some of 4 or 8 bytes a value.
BLOCK = 1 << 20

# XLA has no bitcast for what is smaller than a byte.
_WIDENED = {"int2": "int8", "int4": "int8", "uint2": "uint8", "uint4": "uint8"}

Reduction = tuple[Any, Any, Callable[[Any, Any], Any]]
"""Values, the result of none of them, and what makes one result of two."""

Found = tuple[Any, Any]
"""Counts a slot, uint32, and `Moments` as float64, which have no values if they are not wanted."""


def found_in(values: Any, patterns: Any, has_moments: bool) -> Found:
    """What is found in `values` among E `patterns`: shapes (E + 1,) and (8,) or (0,).

    In one pass, where there are few patterns and moments are exact by their squares.
    """
    bits = lax.bitcast_convert_type(values, patterns.dtype)
    is_few = patterns.size <= FEW
    at_most = [_number_of(bits <= pattern) for pattern in patterns] if is_few else []
    results = _reduced([*at_most, *(_sums(values) if has_moments else [])])
    if is_few:
        ends = [jnp.uint32(0), *results[: patterns.size], jnp.uint32(values.size)]
        counts = jnp.diff(jnp.stack(ends))
    else:
        counts = _by_search(values.ravel(), patterns)
    sums = results[len(at_most) :]
    return counts, _moments(sums, values) if has_moments else jnp.zeros(0)


def _number_of(conditions: Any) -> Reduction:
    return conditions.astype(jnp.uint32), jnp.uint32(0), lax.add


def _reduced(reductions: Sequence[Reduction]) -> Sequence[Any]:
    """One reduction with many results: of one each XLA made a temporary array each."""
    if not reductions:
        return []
    values, initial, operations = map(list, zip(*reductions, strict=True))

    def reduce(some: list[Any], others: list[Any]) -> list[Any]:
        return [operation(*pair) for operation, *pair in zip(operations, some, others, strict=True)]

    return lax.reduce(values, initial, reduce, range(values[0].ndim))  # type: ignore[no-any-return]


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


def _sums(values: Any) -> list[Reduction]:
    """What makes up the moments, with the sum of the squares in the place of their distances'."""
    exact, is_zero = _exact(values)
    is_finite, zero = jnp.isfinite(exact), jnp.float64(0)
    finite = jnp.where(is_finite, exact, zero)
    infinity = jnp.float64(jnp.inf)
    return [
        *map(_number_of, (is_finite, jnp.isnan(exact), jnp.isinf(exact), is_zero)),
        (finite, zero, lax.add),
        (finite * finite, zero, lax.add),
        (jnp.where(is_finite, exact, infinity), infinity, lax.min),
        (jnp.where(is_finite, exact, -infinity), -infinity, lax.max),
    ]


def _moments(sums: Sequence[Any], values: Any) -> Any:
    """The `Moments` of `values`, float64, shape (8,), by their `_sums`."""
    *counts, total, squares, minimum, maximum = (each.astype(jnp.float64) for each in sums)
    mean = total / jnp.maximum(counts[0], 1)

    def from_distances() -> Any:
        exact, _ = _exact(values)
        is_finite, zero = jnp.isfinite(exact), jnp.float64(0)
        distances = jnp.where(is_finite, exact - mean, zero)
        # Both, since for a reduction with one result XLA made a temporary array.
        reductions = [(distances * distances, zero, lax.add), _number_of(is_finite)]
        squares, size = _reduced(reductions)
        return jnp.where(size > 0, squares, zero)

    if values.dtype in NARROW:
        is_enough = total * mean <= MOST_OF_MEAN * squares
        squares = lax.cond(is_enough, lambda: squares - total * mean, from_distances)
    else:
        squares = from_distances()
    return jnp.stack([*counts, total, squares, minimum, maximum])


def _exact(row: Any) -> tuple[Any, Any]:
    """`row` as float64, and which values are zero: by their bits, since XLA flushes subnormals."""
    exact = row.astype(jnp.float64)
    if row.dtype not in edges.IEEE:
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


def found_in_all(
    arrays: Sequence[Any],
    patterns: dict[str, Any],
    specs: Sequence[PartitionSpec],
    has_moments: bool,
) -> dict[str, Found]:
    """What is found in what a device holds of arrays of `specs`, by the name of the dtype.

    The lower and the upper halves of the counts, uint32, shape (2, P, E + 1), so that they can be
    added up over devices: these together hold more of an array than 32 bits count. The moments of
    each device, one after the other.
    """
    rows: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
    for array, spec in zip(arrays, specs, strict=True):
        name = _dtype(array).name
        rows.setdefault((name, _axes(spec)), []).append(array.astype(name))
    found: dict[str, list[Found]] = {name: [] for name in patterns}
    for (name, axes), of_dtype in rows.items():
        parts = [found_in(part, patterns[name], has_moments) for part in _parts(of_dtype)]
        counts, moments = (jnp.stack(each) for each in zip(*parts, strict=True))
        halves = lax.psum(jnp.stack([counts & 0xFFFF, counts >> 16]), axes)
        everywhere = lax.all_gather(moments, axes, tiled=True) if axes else moments
        found[name].append((halves, everywhere))
    return {
        name: (
            jnp.concatenate([halves for halves, _ in of_dtype], axis=1),
            jnp.concatenate([moments for _, moments in of_dtype]),
        )
        for name, of_dtype in found.items()
    }


def _parts(arrays: Sequence[Any]) -> list[Any]:
    """One of some arrays, or parts of it that 32 bits count."""
    if len(arrays) == 1 and arrays[0].size <= MOST_IN_32_BITS:
        return [arrays[0]]
    row = jnp.concatenate([array.ravel() for array in arrays])
    return [
        row[start : start + MOST_IN_32_BITS]
        for start in range(0, max(row.size, 1), MOST_IN_32_BITS)
    ]


@lru_cache(maxsize=64)
def compiled_for(mesh: Mesh, specs: tuple[PartitionSpec, ...], has_moments: bool) -> Any:
    """`found_in_all`, compiled once for all arrays of the same shapes, which lie on `mesh`."""
    replicated = PartitionSpec()
    return jax.jit(
        jax.shard_map(
            partial(found_in_all, specs=specs, has_moments=has_moments),
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
    program_for: Callable[[Mesh, tuple[PartitionSpec, ...], bool], Any] = compiled_for,
) -> tuple[NDArray[np.int64], int]:
    """A `CountArrays`; `program_for` gives `found_in_all`, compiled."""
    totals = np.zeros(bounds.values.size + 2, np.int64)
    has_moments = moments is not None
    edges_in = cache(lambda dtype: edges.edges_of(bounds, dtype))
    patterns_on = cache(lambda mesh, dtype: _replicated(edges_in(dtype).patterns, mesh))
    running = []
    for mesh, batch in batches(arrays, mesh_of, lambda array: array.size):
        specs = tuple(getattr(array.sharding, "spec", PartitionSpec()) for array in batch)
        dtypes = set(map(_dtype, batch))
        is_wide = has_moments or any(dtype.itemsize == 8 for dtype in dtypes)
        # Else JAX would halve the patterns of arrays that were made where it has 64 bits.
        with jax.set_mesh(mesh), jax.enable_x64(True) if is_wide else nullcontext():
            patterns = {dtype.name: patterns_on(mesh, dtype) for dtype in dtypes}
            running.append(program_for(mesh, specs, has_moments)(batch, patterns))
        # A device is at work until its results are wanted. But several CPU devices with two
        # programs under way would wait for one another for ever.
        if mesh.size > 1 and mesh.devices.flat[0].platform == "cpu":
            jax.block_until_ready(running[-1])
    for found in jax.device_get(running):
        for name, (halves, its_moments) in found.items():
            lower, upper = halves.sum(axis=1, dtype=np.int64)
            np.add.at(totals, *edges_in(np.dtype(name)).totals(lower + (upper << 16)))
            if moments is not None:
                moments.append(its_moments)
    return totals[:-1], int(totals[-1])


def mesh_of(array: Any) -> Mesh:
    """The devices of `array`: its mesh, or one of its only device."""
    return _mesh_of_sharding(array.sharding)


@lru_cache(maxsize=64)
def _mesh_of_sharding(sharding: Any) -> Mesh:
    if isinstance(sharding, NamedSharding):
        return sharding.mesh
    return Mesh(np.array(list(sharding.device_set)), "device")


def _replicated(values: NDArray[Any], mesh: Mesh) -> Any:
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.make_array_from_callback(values.shape, everywhere, values.__getitem__)


def _dtype(array: Any) -> np.dtype[Any]:
    name: str = array.dtype.name
    return np.dtype(_WIDENED.get(name, name))


def _axes(spec: PartitionSpec) -> tuple[str, ...]:
    """The names of the mesh's axes over which an array is sharded."""
    names = ((entry,) if isinstance(entry, str) else entry or () for entry in spec)
    return tuple(sorted(name for group in names for name in group))
