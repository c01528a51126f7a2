"""JAX's ops: compiled once for a model, and exact beyond 32 bits."""

import keras
import numpy as np
import pytest
from runs import fit

from gangplank import weights_histogram
from gangplank._native import devices, reference
from gangplank._native.edges import Bounds

if keras.backend.backend() != "jax":
    pytest.skip("Keras does not use JAX", allow_module_level=True)

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gangplank._native import jax_ops

on_the_cpu = pytest.mark.skipif(
    jax.devices()[0].platform != "cpu", reason="XLA makes other programs for other devices"
)

BOUNDS = Bounds.of(np.linspace(-1, 1, 13))
VALUES = np.random.default_rng(0).normal(0, 0.5, (6, 10, 100)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_program():
    jax_ops.compiled_for.cache_clear()


def assert_exact(values, bounds=BOUNDS):
    counts, nan_count = jax_ops.count([jax.numpy.asarray(values)], bounds)
    assert counts.tolist() == reference.count([values], bounds)[0].tolist()
    assert nan_count == 0


def compiled(array_count, has_moments=False):
    mesh = jax_ops.mesh_of(jax.numpy.ones(1))
    return jax_ops.compiled_for(mesh, (PartitionSpec(),) * array_count, has_moments)


def test_one_compilation_for_all_small_weights_of_a_model():
    arrays = [jax.numpy.ones(shape) for shape in [(3, 4), (4,), (5, 6, 7), (), (4,)]]
    arrays.append(jax.numpy.ones(9, "bfloat16"))
    for bounds in (BOUNDS, Bounds.of(BOUNDS.values / 2)):
        counts, _ = jax_ops.count(arrays, bounds)
        assert counts.sum() == 12 + 4 + 210 + 1 + 4 + 9
    assert compiled(len(arrays))._cache_size() == 1


@pytest.mark.parametrize("bound_count", [13, 300])
@pytest.mark.parametrize("most", [10_000, 6000, 999])
def test_what_32_bits_cannot_count_is_counted_in_parts(bound_count, most, monkeypatch):
    monkeypatch.setattr(jax_ops, "MOST_IN_32_BITS", most)
    monkeypatch.setattr(devices, "SMALL", 10)
    for values in (VALUES, VALUES[0, 0], VALUES[:1, :1, :2]):
        assert_exact(values, Bounds.of(np.linspace(-1, 1, bound_count)))


@pytest.mark.parametrize("bound_count", [13, 300])
@pytest.mark.parametrize("longest", [10_000, 1000, 700, 100, 1])
def test_small_arrays_are_joined(bound_count, longest, monkeypatch):
    monkeypatch.setattr(devices, "SMALL", longest)
    monkeypatch.setattr(devices, "TOGETHER", 2 * longest)
    rows = [VALUES[0, 0], VALUES[1], VALUES[2], VALUES[3, 1], VALUES[4, :3], VALUES[5, :0]]
    rows += [np.array([-0.0, np.nan, np.inf], np.float32), VALUES.astype(np.float16)]
    bounds = Bounds.of(np.linspace(-1, 1, bound_count))
    counts, nan_count = jax_ops.count(list(map(jax.numpy.asarray, rows)), bounds)
    assert counts.tolist() == reference.count(rows, bounds)[0].tolist()
    assert nan_count == 1


@pytest.mark.parametrize("bound_count", [13, 300])
def test_counts_of_more_than_16_bits(bound_count):
    assert_exact(np.full(200_000, 0.1, np.float32), Bounds.of(np.linspace(-1, 1, bound_count)))


@pytest.mark.parametrize("block", [6000, 999, 1])
def test_many_bounds_are_searched_in_blocks(block, monkeypatch):
    monkeypatch.setattr(jax_ops, "BLOCK", block)
    assert_exact(VALUES, Bounds.of(np.linspace(-1, 1, 300)))


@pytest.mark.parametrize("name", ["int4", "uint4"])
def test_weights_of_4_bits(name):
    values = jax.numpy.arange(-8 if name == "int4" else 0, 8).astype(name)
    bounds = Bounds.of([-7.5, 0.0, 3.0])
    expected = reference.count([np.asarray(values).astype(np.int8)], bounds)[0]
    assert jax_ops.count([values], bounds)[0].tolist() == expected.tolist()


@on_the_cpu
@pytest.mark.parametrize("has_moments", [False, True])
@pytest.mark.parametrize("bound_count", [13, devices.FEW, 1024])
@pytest.mark.parametrize(
    "shapes",
    [[(1 << 30,)], [(1 << 15, 1 << 15)], [(60_000,)] * 70],
    ids=["a row", "a matrix", "small ones"],
)
def test_no_temporary_grows_with_the_weights(bound_count, shapes, has_moments):
    arrays = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
    patterns = {"float32": np.arange(bound_count, dtype=np.uint32)}
    with jax.enable_x64(has_moments):
        program = compiled(len(arrays), has_moments).lower(arrays, patterns).compile()
    assert program.memory_analysis().temp_size_in_bytes <= 24 * devices.TOGETHER


@on_the_cpu
@pytest.mark.parametrize("has_moments", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8"])
def test_each_weight_is_read_once(dtype, has_moments):
    array = jax.ShapeDtypeStruct((1 << 24,), dtype)
    unsigned = f"uint{8 * array.dtype.itemsize}"
    patterns = {dtype: np.arange(devices.FEW, dtype=unsigned)}
    with jax.enable_x64(has_moments):
        program = compiled(1, has_moments).lower([array], patterns).compile()
    moved = program.cost_analysis()["bytes accessed"] / array.size
    # XLA counts both branches of the moments, of which one is taken.
    assert moved == pytest.approx((1 + has_moments) * array.dtype.itemsize, rel=0.01)


def test_many_sharded_arrays_do_not_wait_for_one_another():
    mesh = Mesh(np.array(jax.devices()), "x")
    sharding = NamedSharding(mesh, PartitionSpec("x"))
    values = VALUES.ravel()[: 6000 // len(jax.devices()) * len(jax.devices())]
    large = np.resize(values, 8 * devices.SMALL)
    arrays = [jax.device_put(each, sharding) for each in [large] * 40 + [values] * 20]
    counts, _ = jax_ops.count(arrays, BOUNDS)
    expected = 40 * reference.count([large], BOUNDS)[0] + 20 * reference.count([values], BOUNDS)[0]
    assert counts.tolist() == expected.tolist()


def test_arrays_without_values():
    empty = jax.device_put(
        VALUES[:0, 0], NamedSharding(Mesh(np.array(jax.devices()), "x"), PartitionSpec())
    )
    for bound_count in (13, 300):
        bounds = Bounds.of(np.linspace(-1, 1, bound_count))
        counts, nan_count = jax_ops.count([empty, empty], bounds, [])
        assert (counts.sum(), nan_count) == (0, 0)


@pytest.mark.skipif(len(jax.devices()) < 2, reason="there is one device")
def test_where_a_mesh_is_set():
    there = np.array(jax.devices())
    mesh, other = Mesh(there, "x"), Mesh(there[::-1].reshape(2, -1), ("x", "y"))
    sharded = jax.device_put(VALUES[0, :8], NamedSharding(mesh, PartitionSpec("x")))
    single = jax.device_put(VALUES[1], jax.devices()[1])
    bounds = Bounds.of(np.linspace(-1, 1, 13))
    expected = reference.count([VALUES[0, :8], VALUES[1]], bounds)[0].tolist()
    with jax.set_mesh(other):
        assert jax_ops.count([sharded, single], bounds)[0].tolist() == expected


@on_the_cpu
def test_an_array_in_host_memory_is_not_counted_by_jax():
    assert devices.placed(jax.numpy.ones(3))[0] == "cpu"


def test_a_deleted_array(model):
    kernel = model.layers[0].kernel
    kernel.value.delete()
    with pytest.raises(RuntimeError, match=r"kernel' cannot be counted: JAX has deleted it, .*"):
        weights_histogram(model, BOUNDS.values)


def test_counting_in_a_hook_of_a_batch_says_when_to_count_instead(model, data):
    messages = []

    def count(batch, logs):
        try:
            weights_histogram(model, BOUNDS.values)
        except RuntimeError as error:
            messages.append(str(error))
            model.jax_state_sync()
            assert weights_histogram(model, BOUNDS.values).count == model.count_params()

    fit(model, data, keras.callbacks.LambdaCallback(on_train_batch_end=count))
    assert messages
    assert all("call model.jax_state_sync() first" in each for each in messages)
    assert weights_histogram(model, BOUNDS.values).count == model.count_params()
