"""Which variables of a model are counted, and what is said of what is none."""

import re
from functools import partial

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from cuda_on_cpu import in_host_memory, needs_compiler, noted_launches, processor

from gangplank import weights_histogram
from gangplank._native import devices
from gangplank._native.cuda import arrays as cuda_arrays
from gangplank._native.cuda import driver, ops
from gangplank.weights.variables import weights_count

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


def test_a_mask_is_no_weight():
    class Masked(keras.layers.Dense):
        def build(self, shape):
            # PyTorch has none that can be trained.
            for trainable in {False, keras.backend.backend() != "torch"}:
                self.add_weight(shape=(5,), dtype="bool", initializer="zeros", trainable=trainable)
            super().build(shape)

    layer = Masked(3)
    layer.build((None, 2))
    assert count(layer) == count(layer, weights="all") == weights_count(layer.weights) == 9


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


@pytest.mark.parametrize("weights", ["trainable", "all"])
def test_the_scales_and_histories_of_float8_are_no_weights(weights):
    layer = keras.layers.Dense(4)
    layer.build((None, 4))
    layer.quantize("float8")
    histories = [w for w in layer.trainable_weights if "amax_history" in w.name]
    assert sum(w.shape[0] for w in histories) == 3072
    assert count(layer, weights=weights) == 20
    assert count(layer.trainable_variables) == 20


def test_layers_among_arrays():
    first, second = keras.layers.Dense(3), keras.layers.Dense(2, trainable=False)
    for layer in (first, second):
        layer.build((None, 2))
    assert count([first, second, np.zeros(100)]) == 9 + 100
    assert count([first, second], weights="all") == 9 + 6
    assert count({"encoder": first, "decoder": second}, weights="all") == 9 + 6


def test_variables_that_layers_share_count_once():
    shared = keras.layers.Dense(4)
    models = [
        keras.Sequential([keras.Input((4,)), shared, keras.layers.Dense(units)]) for units in (1, 2)
    ]
    assert count(models) == 20 + 5 + 10
    assert count([*models[0].trainable_variables, *models[1].trainable_variables]) == 2 * 20 + 15


def test_a_mapping_of_names_to_arrays():
    weights = {"dense": {"kernel": np.array([-1.0, 1.0]), "bias": np.float32(0)}}
    assert weights_histogram(weights, BOUNDS).counts.tolist() == [2, 1]
    assert count([weights, weights]) == 6
    assert count({}) == 0


def test_the_state_of_a_seed_generator_in_a_mapping_is_no_weight():
    state = {
        "dropout/seed_generator_state": np.zeros(2, np.uint32),
        "dropout.seed_generator_state": np.zeros(2, np.uint32),
        "my_seed_generator_state": np.zeros(4),
        "kernel": np.zeros(3),
    }
    assert count(state) == 7


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_file_of_weights_that_keras_saved(dtype, tmp_path):
    layer = keras.layers.Dense(3, dtype=keras.DTypePolicy(dtype))
    inner = keras.Sequential([keras.Input((2,)), layer])
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.BatchNormalization()])
    model.save_weights(tmp_path / "of.weights.h5")
    bounds = (-0.5, 0.0, 0.5)
    with h5py.File(tmp_path / "of.weights.h5") as file:
        assert weights_histogram(file, bounds) == weights_histogram(model, bounds, weights="all")


def test_an_array_of_numpy_counts_under_each_name():
    array = np.zeros(3)
    assert count({"a": array, "b": array}) == 6


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
        (None, "Received None, of type NoneType. Pass for instance model.trainable_variables"),
        (3, "Received 3, of type int"),
        ("model", "but element 0 is of type str"),
        ([np.zeros(1), [0.1, 0.2]], "but element 1 is of type list. Pass all arrays in one flat"),
        ([0.1], "but element 0 is of type float"),
        ({"a": {"b": [0.1]}}, "but model['a']['b'] is of type list"),
        ([{"a": [0.1]}], "but element 0['a'] is of type list"),
        (keras.KerasTensor((3,)), "of type KerasTensor. It is symbolic and has no values: pass"),
    ],
    ids=str,
)
def test_what_is_no_model(model, message):
    with pytest.raises(TypeError, match=re.escape(message)) as caught:
        count(model)
    assert str(caught.value).startswith(
        "model must be a Keras model or layer, an iterable of variables or arrays, or a mapping "
        "of names to arrays"
    )


def sparse():
    """A sparse array of the framework that Keras uses, and what its values are counted as."""
    if keras.backend.backend() == "jax":
        from jax.experimental.sparse import BCOO

        return BCOO.fromdense(np.eye(3)), lambda array: array.data, "Pass its data"
    if keras.backend.backend() == "torch":
        import torch

        return torch.eye(3).to_sparse(), lambda array: array.coalesce().values(), "its to_dense()"
    return tf.sparse.from_dense(np.eye(3)), lambda array: array.values, "Pass its values"


def test_a_sparse_array_is_refused_with_what_to_pass():
    array, values, advice = sparse()
    for model in (array, [array], {"kernel": array}):
        with pytest.raises((TypeError, RuntimeError), match=re.escape(advice)):
            count(model)
    assert count(values(array)) == 3


def test_a_ragged_tensor_is_refused_with_what_to_pass():
    ragged = tf.ragged.constant([[1.0, 2.0], [3.0]])
    with pytest.raises(TypeError, match=r"of type RaggedTensor\. Pass its flat_values\."):
        count(ragged)
    assert count(ragged.flat_values) == 3


def test_a_module_of_another_framework_is_refused_with_what_to_pass():
    with pytest.raises(TypeError, match=r"type Module. Pass its variables, or its trainable_var"):
        count(tf.Module())
    if keras.backend.backend() == "torch":
        import torch

        for module in (torch.nn.Linear(2, 3), torch.nn.ModuleList([torch.nn.Linear(2, 3)])):
            with pytest.raises(TypeError, match=r"Pass its state_dict\(\), or its parameters"):
                count(module)
        assert count(torch.nn.ParameterList([torch.zeros(2, 3)])) == 6


def test_weights_is_one_of_two_words(model):
    with pytest.raises(ValueError, match=r"must be 'trainable' or 'all'. Received 'frozen'"):
        count(model, weights="frozen")


def _trained(model):
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.zeros((8, 3)), verbose=0)


def _with_lora(model):
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.full((2, 3), 0.2))


def _with_one_more_layer(model):
    model.add(keras.layers.Dense(2))
    model.build((None, 4))


CHANGES = {
    "assigned": lambda model: model.set_weights([each + 0.1 for each in model.get_weights()]),
    "trained": _trained,
    "frozen": lambda model: setattr(model.layers[0], "trainable", False),
    "with LoRA": _with_lora,
    "with one more layer": _with_one_more_layer,
    "with one layer less": lambda model: model.pop(),
    "quantized": lambda model: model.layers[0].quantize("int8"),
}


@pytest.fixture(
    params=["the host", "a device", pytest.param("a GPU", marks=[in_host_memory, needs_compiler])]
)
def counted_on(request, monkeypatch):
    """Has weights counted as if they lay there: by a framework's operations, or by the kernel."""
    kind = {"the host": "cpu", "a device": "tpu", "a GPU": "gpu"}[request.param]
    monkeypatch.setattr(
        devices, "_kind_of_device", lambda owner, _: "cpu" if owner == "numpy" else kind
    )
    monkeypatch.setattr(driver, "driver", lambda: "a driver")
    monkeypatch.setattr(cuda_arrays, "device_of", lambda _: 0)
    on_processor = partial(ops.measure, device=lambda _: processor, operations_of=None)
    monkeypatch.setattr(ops, "measure", on_processor)
    launched = noted_launches(monkeypatch)
    yield
    assert bool(launched) == (request.param == "a GPU")


@pytest.mark.usefixtures("counted_on")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_model_that_changes_between_two_counts(change):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(3)])
    counts = []
    for weights in ("trainable", "all"):
        weights_histogram(model, BOUNDS, weights=weights)
    change(model)
    for weights in ("trainable", "all"):
        variables = model.trainable_variables if weights == "trainable" else model.weights
        arrays = [keras.ops.convert_to_numpy(variable) for variable in variables]
        histogram = weights_histogram(model, BOUNDS, weights=weights)
        assert histogram == weights_histogram(arrays, BOUNDS)
        counts.append(histogram.count)
    assert counts[1] >= counts[0] > 0
