"""Histograms and statistics by layer and by variable: their names, and that they add up."""

import keras
import numpy as np
import pytest

from gangplank import NativeBuckets, weights_histogram, weights_histograms, weights_statistics

BOUNDS = (-0.1, 0.0, 0.1)


@pytest.fixture
def nested():
    """A model inside of another, and a layer that is used twice."""
    shared = keras.layers.Dense(4, name="shared")
    inner = keras.Sequential([keras.Input((4,)), shared, keras.layers.Dense(4, name="own")])
    inner.name = "inner"
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(2, name="head")(inner(shared(inputs)))
    return keras.Model(inputs, outputs)


def counts_by_layer(model, **options):
    histograms = weights_histograms(model, BOUNDS, **options)
    return {name: each.count for name, each in histograms.items()}


def paths(model):
    return list(dict.fromkeys(variable.path for variable in model.trainable_variables))


@pytest.mark.parametrize("buckets", [BOUNDS, NativeBuckets()], ids=["bounds", "native"])
def test_variables_have_keras_s_paths_and_add_up(nested, buckets):
    histograms = weights_histograms(nested, buckets, per="variable")
    assert list(histograms) == paths(nested)
    assert len(histograms) == 6
    added = sum(histograms.values())
    assert added.count == 20 + 20 + 10
    # Their sums are rounded one by one.
    assert repr(added) == repr(weights_histogram(nested, buckets))
    for variable in nested.trainable_variables:
        assert histograms[variable.path].count == np.prod(variable.shape)


def test_layers_have_the_path_of_their_variables_and_shared_ones_count_once(nested):
    histograms = weights_histograms(nested, BOUNDS)
    expected = list(dict.fromkeys(path.rpartition("/")[0] for path in paths(nested)))
    assert list(histograms) == expected
    assert [histogram.count for histogram in histograms.values()] == [20, 20, 10]
    assert sum(histograms.values()) == weights_histogram(nested, BOUNDS)


def test_duplicates_are_told_apart():
    layers = [keras.layers.Dense(units, name="twin") for units in (3, 5, 7)]
    for layer in layers:
        layer.build((None, 2))
    assert counts_by_layer(layers) == {
        "twin": 9,
        "twin_2": 15,
        "twin_3": 21,
    }
    assert list(weights_histograms(layers[:2], BOUNDS, per="variable")) == [
        "twin/kernel",
        "twin/bias",
        "twin/kernel_2",
        "twin/bias_2",
    ]


def test_a_name_that_is_taken():
    layers = [keras.layers.Dense(1, name=name) for name in ("twin", "twin", "twin_2")]
    for layer in layers:
        layer.build((None, 1))
    assert list(weights_histograms(layers, BOUNDS)) == ["twin", "twin_3", "twin_2"]
    layers = [keras.layers.Dense(1, name=name) for name in ("twin",) * 3 + ("twin_2",)]
    for layer in layers:
        layer.build((None, 1))
    assert list(weights_histograms(layers, BOUNDS)) == ["twin", "twin_3", "twin_4", "twin_2"]


def test_mappings_and_iterables():
    state = {"encoder.0.weight": np.ones(2), "encoder.0.bias": np.ones(1), "head": np.ones(3)}
    assert counts_by_layer(state) == {"encoder.0": 3, "head": 3}
    assert list(weights_histograms(state, BOUNDS, per="variable")) == list(state)
    tree = {"layers": {"dense": {"vars": {"0": np.ones(2), "1": np.ones(3)}}}}
    assert list(weights_histograms(tree, BOUNDS)) == ["layers/dense/vars"]
    assert list(weights_histograms([np.ones(1), np.ones(2)], BOUNDS)) == ["0", "1"]
    assert list(weights_histograms(np.ones(1), BOUNDS)) == ["0"]
    variable = keras.Variable(np.ones(2), name="kernel")
    assert list(weights_histograms([variable], BOUNDS, per="variable")) == ["kernel"]
    assert list(weights_histograms(variable, BOUNDS, per="variable")) == ["kernel"]
    named = {"generator": variable, "others": {"critic": keras.Variable(np.ones(1))}}
    names = ["generator", "others/critic"]
    assert list(weights_histograms(named, BOUNDS, per="variable")) == names
    assert weights_histograms([], BOUNDS) == {}


def test_all_weights(nested):
    nested.layers[-1].trainable = False
    assert "head" not in weights_histograms(nested, BOUNDS)
    assert weights_histograms(nested, BOUNDS, weights="all")["head"].count == 10
    assert weights_statistics(nested, per="layer", weights="all")["head"].count == 10


def test_statistics_have_the_same_names(nested):
    for per in ("layer", "variable"):
        statistics = weights_statistics(nested, per=per)
        histograms = weights_histograms(nested, BOUNDS, per=per)
        assert list(statistics) == list(histograms)
        assert [each.count for each in statistics.values()] == [
            each.count for each in histograms.values()
        ]


@pytest.mark.parametrize("per", ["model", "layers", None, 1])
def test_per_that_is_none(nested, per):
    with pytest.raises(ValueError, match=r"per must be 'layer' or 'variable'\. Received"):
        weights_histograms(nested, BOUNDS, per=per)
    if per != "model":
        with pytest.raises(ValueError, match="per must be 'model', 'layer' or 'variable'"):
            weights_statistics(nested, per=per)


def test_bad_buckets_are_refused_before_anything_is_counted():
    with pytest.raises(ValueError, match="buckets must"):
        weights_histograms(None, [])


def test_layers_of_the_same_path_are_told_apart_whatever_their_variables_are_called():
    def inner(layer):
        inputs = keras.Input((4,))
        return keras.Model(inputs, layer(inputs))

    inputs = keras.Input((4,))
    norm = inner(keras.layers.LayerNormalization(name="x"))
    outputs = norm(inner(keras.layers.Dense(4, name="x"))(inputs))
    assert counts_by_layer(keras.Model(inputs, outputs)) == {"x": 20, "x_2": 8}


def test_variables_of_the_same_name_are_of_their_layer():
    class Three(keras.layers.Layer):
        def build(self, _):
            self.all = [self.add_weight(shape=(n,), name="w") for n in (1, 2, 3)]

    layer = Three(name="three")
    layer.build(None)
    assert counts_by_layer(layer) == {"three": 6}
    by_variable = weights_histograms(layer, BOUNDS, per="variable")
    assert list(by_variable) == ["three/w", "three/w_2", "three/w_3"]


def test_a_variable_is_of_the_layer_that_made_it_whichever_has_it_first():
    class Head(keras.layers.Layer):
        def __init__(self, embedding):
            super().__init__(name="head")
            self.embedding = embedding

        def build(self, _):
            self.kernel = self.embedding.embeddings
            self.bias = self.add_weight(shape=(5,), name="bias")

        def call(self, x):
            return x @ keras.ops.transpose(self.kernel) + self.bias

    class Tied(keras.Model):
        def __init__(self):
            super().__init__(name="tied")
            embedding = keras.layers.Embedding(5, 3, name="embedding")
            self.head = Head(embedding)
            self.embedding = embedding

        def call(self, x):
            return self.head(self.embedding(x))

    tied = Tied()
    tied(np.zeros((1, 2), "int32"))
    assert counts_by_layer(tied) == {"tied/embedding": 15, "tied/head": 5}
    maker = keras.layers.Layer(name="maker")
    maker.w = maker.add_weight(shape=(6,), name="w")  # as a constructor does
    user = keras.layers.Layer(name="user")
    user.w, user.bias = maker.w, user.add_weight(shape=(2,), name="bias")
    outer = keras.Sequential([keras.Input((2,)), user, maker], name="outer")
    assert counts_by_layer(outer) == {"maker": 6, "outer/user": 2}
    dense = keras.layers.Dense(2, name="dense")
    wrapped = keras.layers.SpectralNormalization(dense, name="norm")
    wrapped.build((None, 4))
    assert counts_by_layer(wrapped) == {"norm/dense": 10}
    assert counts_by_layer(wrapped, weights="all") == {"norm/dense": 10, "norm": 2}


def test_a_layer_has_its_own_path_whatever_its_variables_are_called():
    class Own(keras.layers.Layer):
        def __init__(self, name):
            super().__init__(name=name)
            self.gain = keras.Variable(np.ones(3, "float32"), name="gain")

        def build(self, _):
            self.w = self.add_weight(shape=(4,), name="w")

        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((2,)), Own("one"), Own("two")], name="model")
    assert counts_by_layer(model) == {"model/one": 7, "model/two": 7}
    never_called = Own("three")
    never_called.w = never_called.add_weight(shape=(4,), name="w")
    assert counts_by_layer(never_called) == {"three": 7}


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch takes no such name")
def test_a_variable_with_a_dot_in_its_name():
    layer = keras.layers.Layer(name="layer")
    layer.add_weight(shape=(2,), name="q.weight")
    layer.add_weight(shape=(3,), name="k.weight")
    assert counts_by_layer(layer) == {"layer": 5}


def test_the_keys_of_a_state_dict_inside_of_others():
    arrays = {"blocks.0.weight": np.ones(2), "blocks.0.bias": np.ones(3), "head": np.ones(4)}
    for weights, prefix in ((arrays, ""), ({"model": arrays}, "model/"), ([arrays], "0/")):
        assert counts_by_layer(weights) == {
            f"{prefix}blocks.0": 5,
            (prefix.rstrip("/") or "head"): 4,
        }
