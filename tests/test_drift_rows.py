"""What counts as samples, and samples as rows."""

import ml_dtypes
import numpy as np
import pytest
import scipy.sparse

from gangplank.drift.rows import feature_names, is_stream, leaves_of, named_arrays, rows_of

GRID = np.arange(12).reshape(2, 2, 3)


def rows(values, leaves=None):
    arrays = named_arrays(values, "Samples")
    return rows_of(arrays, leaves or leaves_of(arrays, "samples"), "samples")


def test_a_sample_is_flattened():
    found = rows(GRID)
    np.testing.assert_array_equal(found, np.arange(12, dtype=np.float32).reshape(2, 6), strict=True)
    assert list(feature_names((("", (2, 2)),), "input")) == [
        "input[0, 0]",
        "input[0, 1]",
        "input[1, 0]",
        "input[1, 1]",
    ]


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int64", "float16", "float32", "float64", ml_dtypes.bfloat16]
)
def test_dtypes(dtype):
    values = np.array([[0, 1], [1, 0]])
    found = rows(values.astype(dtype))
    np.testing.assert_array_equal(found, values.astype(np.float32), strict=True)


def test_beyond_float32_lies_infinity():
    found = rows(np.array([[1e300, -1e300, np.nan]]))
    np.testing.assert_array_equal(found, [[np.inf, -np.inf, np.nan]])


def test_what_is_masked_is_not_known():
    masked = np.ma.masked_array([[1, 2], [3, 4]], [[False, True], [False, False]])
    np.testing.assert_array_equal(rows(masked), [[1, np.nan], [3, 4]])


def test_numbers_in_lists_are_one_array():
    np.testing.assert_array_equal(rows([[1, 2], [3, 4]]), [[1, 2], [3, 4]])
    np.testing.assert_array_equal(rows([1.5, 2.5]), [[1.5], [2.5]])


def test_several_arrays_stand_beside_one_another_by_their_names():
    one, two = np.array([[1.0], [2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])
    values = {"b": two, "a": [one, two]}
    leaves = leaves_of(named_arrays(values, "Samples"), "samples")
    assert leaves == (("b", (2,)), ("a/0", (1,)), ("a/1", (2,)))
    expected = [[3, 4, 1, 3, 4], [5, 6, 2, 5, 6]]
    np.testing.assert_array_equal(rows(values), expected)
    np.testing.assert_array_equal(rows({"a": (one, two), "b": two}, leaves), expected)
    assert [*feature_names(leaves, "input")][2:4] == ["input/a/0[0]", "input/a/1[0]"]


def test_one_array_may_have_any_name():
    leaves = (("", (2, 3)),)
    for values in ([GRID], {"pixels": GRID}, (GRID,)):
        np.testing.assert_array_equal(rows(values, leaves), rows(GRID))


class Dataset:
    """Of the kind of a Keras PyDataset."""

    shape = (2, 3)

    def __getitem__(self, index):
        return GRID


@pytest.mark.parametrize("values", [iter([GRID]), (GRID for _ in "ab"), Dataset()])
def test_a_stream_of_samples(values):
    assert is_stream(values)


def test_a_generator_is_not_used_up():
    generator = (GRID for _ in "ab")
    assert is_stream(generator)
    assert len(list(generator)) == 2


@pytest.mark.parametrize(
    "values",
    [None, 5, "abc", b"abc", object(), GRID, [GRID], {"a": GRID}, scipy.sparse.eye_array(3)],
    ids=lambda values: type(values).__name__,
)
def test_what_is_no_stream(values):
    assert not is_stream(values)


def test_tensors_of_the_backend():
    import keras

    tensor = keras.ops.convert_to_tensor(GRID.astype(np.float32))
    np.testing.assert_array_equal(rows(tensor), rows(GRID), strict=True)
    half = keras.ops.cast(tensor, "bfloat16")
    np.testing.assert_array_equal(rows(half), rows(GRID), strict=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([["a"]]), r"must be numbers\. Received the dtype str\d+\. To watch .* alone,"),
        ({"name": np.array([[b"a"]])}, "Samples of 'name' must be numbers"),
        (np.array([[1j]]), "Received the dtype complex128"),
        (np.array([[None]]), "Received the dtype object"),
        (np.float32(3), r"must be rows of an array\. Received the number 3\.0"),
        ([[1, 2], [3]], "must be rows of as many numbers each: "),
        (object(), "Samples must be an array, or a list, tuple or dict .* Received a object"),
        ({"a": GRID, "b": None}, "Samples of 'b' must be an array, .* Received a NoneType"),
        ([GRID, {"a": iter([GRID])}], "Samples of '1/a' must be .* Received a list_iterator"),
        (scipy.sparse.eye_array(3), "Samples must be an array, .* Received a dia_array"),
    ],
)
def test_what_are_no_samples(values, message):
    with pytest.raises(ValueError, match=message):
        named_arrays(values, "Samples")


def test_another_shape_is_told_of_with_both():
    message = r"^The samples must have .* reference's, \(2, 3\) a sample\. Received \(3,\)\."
    with pytest.raises(ValueError, match=message):
        rows(np.zeros((5, 3)), (("", (2, 3)),))
    with pytest.raises(ValueError, match=r"a: \(1,\), b: \(1,\) a sample\. Received a: \(1,\)\."):
        rows({"a": np.zeros(2)}, (("a", (1,)), ("b", (1,))))
    with pytest.raises(ValueError, match=r"as many rows each\. Received {'a': 2, 'b': 3}"):
        rows({"a": np.zeros(2), "b": np.zeros(3)})


@pytest.mark.parametrize("values", [{1: GRID, "1": GRID}, {"a": {"b": GRID}, "a/b": GRID[:, :1]}])
def test_two_of_one_name_are_refused(values):
    with pytest.raises(ValueError, match=r"^The samples must differ in their keys, .* Two are '"):
        rows(values)


def test_what_is_too_small_for_float32_is_told_to_nobody():
    with np.errstate(all="raise"):
        assert rows(np.array([[1e-50], [1.0]])).tolist() == [[0.0], [1.0]]
