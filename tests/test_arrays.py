"""How arrays of every framework are seen, and that they are not copied."""

import h5py
import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from corpus import FLOATS, INTEGERS, hard_values
from cuda_on_cpu import in_host_memory

from gangplank import _native, weights_histogram, weights_histograms
from gangplank._native import arrays, host_memory, reference, tensorflow_variables
from gangplank._native.edges import Bounds

BOUNDS = Bounds.of([-0.1, 0.0, 0.1])


def count(arrays, bounds):
    return _native.measure([arrays], bounds)[0].counts(bounds)


def backend_array(values):
    """`values` as an array of the framework that Keras uses."""
    if keras.backend.backend() == "torch":
        import torch

        bits = torch.from_numpy(values.view(f"i{values.itemsize}"))
        return bits.view(getattr(torch, values.dtype.name))
    if keras.backend.backend() == "jax":
        import jax

        return jax.numpy.asarray(values)
    return tf.constant(values)


of_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="of TensorFlow's variables"
)


@of_tensorflow
@in_host_memory
@pytest.mark.parametrize("is_known", [True, False])
def test_variables_of_tensorflow_are_read_together(is_known, monkeypatch):
    read_each, read = [], tensorflow_variables.tensor_of

    def tensor_of(variable):
        read_each.append(variable)
        return read(variable)

    for module in (tensorflow_variables, host_memory):
        monkeypatch.setattr(module, "tensor_of", tensor_of)
    if not is_known:
        monkeypatch.setattr(tensorflow_variables, "READ_TOGETHER", b"NoSuchOp")
    values = {
        f"{dtype} {i}": hard_values(dtype, BOUNDS.values)[i:]
        for i in range(40)
        for dtype in FLOATS + INTEGERS
    }
    variables = {name: tf.Variable(each) for name, each in values.items()}
    counted = weights_histograms(variables, BOUNDS.values, per="variable")
    assert len(counted) == len(values) > tensorflow_variables.MOST_VARIABLES
    for name, histogram in counted.items():
        expected, nan_count = reference.count([values[name]], BOUNDS)
        assert histogram.counts.tolist() == expected.tolist(), name
        assert histogram.nan_count == nan_count
    of_ml_dtypes = [each for each in read_each if each.dtype.name in arrays.OF_ML_DTYPES]
    assert of_ml_dtypes
    assert len(read_each) == (len(of_ml_dtypes) if is_known else len(values))


@of_tensorflow
@in_host_memory
def test_not_more_variables_are_read_together_than_their_bytes_allow(monkeypatch):
    together, read = [], tensorflow_variables.read_together
    monkeypatch.setattr(
        host_memory, "read_together", lambda some: together.append(len(some)) or read(some)
    )
    for module in (host_memory, tensorflow_variables):
        monkeypatch.setattr(module, "MOST_BYTES", 400)
    variables = [tf.Variable(tf.ones(size)) for size in (40, 40, 100, 40, 99, 1, 5, 5)]
    assert weights_histogram(variables, [0.0]).counts.tolist() == [0, 330]
    assert together == [3, 2, 2]  # of 480 bytes, 400 and 40; that of 400 is read by itself


@of_tensorflow
@pytest.mark.parametrize("shape", [None, [None]])
def test_a_variable_whose_shape_is_not_known(shape):
    variable = tf.Variable([-1.0, 0.05], shape=tf.TensorShape(shape))
    assert weights_histogram([variable, variable], BOUNDS.values).counts.tolist() == [2, 0, 2, 0]


NARROW = [dtype for dtype in FLOATS + INTEGERS if dtype.itemsize < 8]


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_an_array_of_the_backend_is_seen_bit_by_bit(dtype):
    values = hard_values(dtype, BOUNDS.values)
    view = host_memory.host_view(backend_array(values))
    assert view.dtype == dtype
    np.testing.assert_array_equal(
        view.view(f"u{dtype.itemsize}"), values.view(f"u{dtype.itemsize}")
    )
    assert arrays.dtype_name(backend_array(values)) == dtype.name


def address(array):
    return array.__array_interface__["data"][0]


@in_host_memory
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_keras_variable_is_not_copied(dtype):
    variable = keras.Variable(np.ones(100_000), dtype=dtype)
    first, second = host_memory.host_view(variable.value), host_memory.host_view(variable.value)
    assert first.dtype.name == dtype
    assert address(first) == address(second)


@of_tensorflow
@in_host_memory
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_embedding_is_not_copied_after_sparse_updates(dtype):
    variable = tf.Variable(tf.zeros((65_536, 64), dtype))
    place, one = [[3, 5]], tf.ones(1, dtype)
    for update in range(3):
        variable.scatter_nd_add(place, one)
        (_, first), (_, second) = host_memory.host_views([(0, variable), (0, variable)])
        assert address(first) == address(second)
        assert first[3, 5] == update + 1
    variable.scatter_nd_add(place, one)  # copies, since the values are in use
    assert second[3, 5] == 3
    assert host_memory.host_view(variable)[3, 5] == 4


def test_an_array_of_numpy_is_not_copied():
    values = np.ones(10)
    assert address(host_memory.host_view(values)) == address(values)


@pytest.mark.parametrize(
    ("name", "countable"),
    [
        ("float32", True),
        ("bfloat16", True),
        ("float8_e4m3fnuz", True),
        ("int4", True),
        ("uint64", True),
        ("float128", False),
        ("int3", False),
        ("float4_e2m1fn_x2", False),
        ("bool", False),
        ("complex64", False),
        ("str32", False),
        ("object", False),
    ],
)
def test_dtypes_that_can_be_counted(name, countable):
    assert arrays.is_countable(name) == countable


@pytest.mark.parametrize(
    "dtype", [ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2fnuz, ml_dtypes.int4]
)
def test_a_dtype_whose_bits_are_not_in_order_is_counted_by_the_reference(dtype):
    values = np.arange(256, dtype=np.uint8).view(dtype)
    counts, nan_count = count([values], BOUNDS)
    expected = reference.count([values], BOUNDS)
    assert (counts.tolist(), nan_count) == (expected[0].tolist(), expected[1])
    assert counts.sum() + nan_count == 256


def test_arrays_of_several_frameworks_add_up():
    mixed = [
        np.float32(0.05),
        tf.Variable([0.05, np.nan]),
        tf.constant([-1.0]),
        backend_array(np.array([[1.0, -0.05]], np.float32)),
        np.array([1, -1], ml_dtypes.int4),
    ]
    counts, nan_count = count(mixed, BOUNDS)
    assert counts.tolist() == [2, 1, 2, 2]
    assert nan_count == 1


@pytest.mark.parametrize("mask", [False, True, [False, True, False, False]])
def test_what_a_mask_hides_is_not_counted(mask):
    masked = np.ma.masked_array([-1.0, -0.05, 0.05, 1.0], mask)
    counts, _ = count([masked, np.ma.masked, masked.reshape(2, 2)], BOUNDS)
    expected, _ = reference.count([masked.data[~masked.mask]] * 2, BOUNDS)
    assert counts.tolist() == expected.tolist()
    assert counts.sum() == 2 * masked.count()


def test_of_a_masked_array_only_blocks_are_copied():
    masked = np.ma.masked_array(np.zeros((3, host_memory.BLOCK)), False)
    masked[1, 5] = np.ma.masked
    sizes = [piece.size for _, piece in host_memory.host_views([(0, masked), (0, masked.T)])]
    assert max(sizes) <= host_memory.BLOCK
    assert sum(sizes) == 2 * (masked.size - 1)


@pytest.fixture
def hdf5_file():
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        yield file


@pytest.mark.parametrize("dtype", [">f4", "<f8", "f2", "i4", "u1"])
def test_datasets_of_every_shape_are_read_in_blocks(dtype, hdf5_file, monkeypatch):
    monkeypatch.setattr(host_memory, "BLOCK", 20)
    flat, nested = [(), (0,), (1,), (20,), (21,), (99,)], [(3, 7), (2, 3, 4), (2, 99), (2, 3, 30)]
    for shape in (*flat, *nested, (9, 0)):
        values = np.random.default_rng(0).normal(0, 3, shape).astype(dtype)
        hdf5_file[str(shape)] = values
        blocks = list(host_memory.blocks(hdf5_file[str(shape)]))
        assert max(block.size for block in blocks) <= 20
        joined = np.concatenate([block.ravel() for block in blocks])
        np.testing.assert_array_equal(joined, values.ravel())
        counts, _ = count([hdf5_file[str(shape)]], BOUNDS)
        assert counts.tolist() == reference.count([values], BOUNDS)[0].tolist()


def test_a_dataset_that_holds_nothing(hdf5_file):
    hdf5_file["nothing"] = h5py.Empty("f4")
    assert count([hdf5_file["nothing"]], BOUNDS)[0].sum() == 0


def test_bfloat16_as_keras_stores_it(hdf5_file):
    values = np.array([-1.0, 0.05, 2.0, np.nan], ml_dtypes.bfloat16)
    hdf5_file["kernel"] = values.view("V2")
    assert arrays.dtype_name(hdf5_file["kernel"]) == "void16"
    hdf5_file["kernel"].attrs["dtype"] = "bfloat16"
    assert arrays.dtype_name(hdf5_file["kernel"]) == "bfloat16"
    counts, nan_count = count([hdf5_file["kernel"]], BOUNDS)
    assert (counts.tolist(), nan_count) == ([1, 0, 1, 1], 1)


def test_text_in_a_file_cannot_be_counted(hdf5_file):
    hdf5_file["layer/name"] = "dense"
    with pytest.raises(TypeError, match=r"model\['layer'\]\['name'\] has the dtype object"):
        weights_histogram(hdf5_file, BOUNDS.values)
