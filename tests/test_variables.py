"""Which variables of a model are counted."""

import keras
import numpy as np
import pytest

from gangplank import weights_histogram

BOUNDS = (0.0,)


def count(model, **options):
    return weights_histogram(model, BOUNDS, **options).count


@pytest.fixture
def rich_model():
    """A nested model with a shared, a frozen, a random and a normalizing layer."""
    shared = keras.layers.Dense(4)
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dropout(0.5)])
    frozen = keras.layers.Dense(4, trainable=False)
    inputs = keras.Input((4,))
    x = shared(shared(inputs))
    x = keras.layers.BatchNormalization()(frozen(inner(x)))
    return keras.Model(inputs, x)


def test_trainable_weights_by_default(rich_model):
    # Dense (4, 4) + 4 twice, gamma and beta of the normalization.
    assert count(rich_model) == 20 + 20 + 8


def test_all_weights(rich_model):
    # The frozen Dense, and the normalization's moving mean and variance.
    assert count(rich_model, weights="all") == 20 + 20 + 8 + 20 + 8
    assert count(rich_model, weights="all") == rich_model.count_params()


def test_the_state_of_a_seed_generator_is_no_weight(rich_model):
    names = [variable.name for variable in rich_model.variables]
    assert "seed_generator_state" in names
    assert count(rich_model.variables) == rich_model.count_params()


def test_a_layer():
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    assert count(layer) == 9


def test_quantized_weights():
    layer = keras.layers.Dense(4)
    layer.build((None, 4))
    layer.quantize("int8")
    assert "int8" in {variable.dtype for variable in layer.weights}
    assert count(layer, weights="all") == sum(int(np.prod(w.shape)) for w in layer.weights)


def test_variables_and_single_arrays(model):
    assert count(model.trainable_variables) == 27
    assert count(model.trainable_variables[0]) == 24
    assert count(np.zeros((3, 4))) == 12
    assert count([]) == 0


DTYPES = ["float64", "float32", "float16", "bfloat16"]


# JAX has no float64 unless it is set to.
@pytest.mark.parametrize("dtype", DTYPES[keras.backend.backend() == "jax" :])
def test_every_dtype_of_a_model(dtype):
    layer = keras.layers.Dense(3, dtype=keras.DTypePolicy(dtype))
    layer.build((None, 2))
    weights = np.array([[-0.1, 0.0, 0.1], [1e-30, -1e-30, 3.0]]).astype("float32")
    layer.kernel.assign(keras.ops.cast(weights, dtype))
    exact = keras.ops.convert_to_numpy(keras.ops.cast(layer.kernel, "float32"))
    assert weights_histogram([layer.kernel], BOUNDS).counts[0] == (exact <= 0).sum()


def test_a_model_that_is_not_built():
    with pytest.raises(ValueError, match="'unbuilt' is not built, so it has no weights yet"):
        count(keras.Sequential([keras.layers.Dense(3)], name="unbuilt"))


def test_a_variable_of_a_dtype_that_cannot_be_counted():
    variable = keras.Variable(np.array([True]), dtype="bool", name="mask", trainable=False)
    with pytest.raises(TypeError, match="the variable 'mask' has the dtype bool"):
        count([variable])
    with pytest.raises(TypeError, match="element 1 has the dtype complex128"):
        count([np.zeros(3), np.zeros(3, complex)])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (None, "Received None, of type NoneType"),
        (3, "Received 3, of type int"),
        ("model", "element 0 is of type str"),
        ([np.zeros(1), [0.1, 0.2]], "element 1 is of type list"),
        ([0.1], "element 0 is of type float"),
    ],
    ids=str,
)
def test_what_is_no_model(model, message):
    with pytest.raises(TypeError, match=message):
        count(model)


def test_weights_is_one_of_two_words(model):
    with pytest.raises(ValueError, match=r"must be 'trainable' or 'all'. Received 'frozen'"):
        count(model, weights="frozen")
