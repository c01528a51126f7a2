"""Native histograms and statistics, the whole way to a real Prometheus and its answers."""

import keras
import numpy as np
import pytest
from conftest import awaited
from documents import blocks
from prometheus_client import CollectorRegistry
from test_prometheus import prometheus

from gangplank import (
    HistogramCollector,
    NativeBuckets,
    TrainTestExporter,
    weights_histogram,
    weights_statistics,
)
from gangplank.publishing import Pushgateway

FLAG = "--enable-feature=native-histograms"
BUCKETS = NativeBuckets()
X = np.random.default_rng(0).normal(size=(64, 4))
_, (SICK,) = blocks("docs/weights.md", ["python", "promql"])


@pytest.fixture
def deep():
    """A model with a layer that is frozen and one that turns NaN."""
    layers = [keras.layers.Dense(30, name=name) for name in ("first", "still", "broken")]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(2, name="head")])
    model.compile("sgd", "mse")
    return model


class Breaks(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            kernel, bias = self.model.get_layer("broken").get_weights()
            kernel[3, 5] = np.nan
            self.model.get_layer("broken").set_weights([kernel, bias])


def values(variables):
    return np.concatenate([np.ravel(each.numpy()) for each in variables])


def assert_tells_of(query, name, weights):
    """The native histogram of this name is that of `weights`, by all that PromQL can ask."""
    ((_, count),) = query(f"histogram_count({name})")
    assert count == weights.size
    ((_, total),) = query(f"histogram_sum({name})")
    assert total == pytest.approx(weights.astype(np.float64).sum(), rel=1e-12)
    for share in (0.05, 0.5, 0.95):
        ((_, estimate),) = query(f"histogram_quantile({share}, {name})")
        exact = np.quantile(weights, share, method="inverted_cdf")
        assert estimate == pytest.approx(exact, rel=2 ** (1 / 8) - 1)


def test_model_layers_and_variables(gateway, deep, tmp_path):
    exporters = [
        TrainTestExporter(
            gateway, per, histogram_buckets=BUCKETS, histogram_per=per, ignore_exceptions=False
        )
        for per in ("layer", "variable")
    ]
    deep.fit(X, X[:, :2], epochs=2, callbacks=exporters, verbose=0)
    whole = values(deep.trainable_variables)
    nothing = CollectorRegistry()
    empty = weights_histogram([], NativeBuckets(zero_threshold=0.0))
    HistogramCollector("empty", "No weights.", nothing).set(empty)
    Pushgateway(gateway, "empty", None, None, 10.0).push(nothing, 10.0)
    with prometheus(gateway, tmp_path, FLAG) as query:
        awaited(lambda: query("histogram_count(gangplank_train_model_weights)"))
        assert [count for _, count in query("histogram_count(empty)")] == [0]
        for layer in deep.layers:
            path = layer.kernel.path.removesuffix("/kernel")
            name = f'gangplank_train_layer_weights{{layer="{path}"}}'
            assert_tells_of(query, name, values(layer.trainable_variables))
        for variable in deep.trainable_variables:
            name = f'gangplank_train_variable_weights{{variable="{variable.path}"}}'
            assert_tells_of(query, name, values([variable]))
        for per in ("layer", "variable"):
            assert_tells_of(query, f'gangplank_train_model_weights{{job="{per}"}}', whole)
            assert_tells_of(query, f"sum(gangplank_train_{per}_weights)", whole)


def test_classic_and_native_buckets_at_once(real_gateway, model, data, tmp_path):
    bounds = (-0.5, 0.0, 0.5)
    exporter = TrainTestExporter(
        real_gateway, "digits", histogram_buckets=(BUCKETS, bounds), ignore_exceptions=False
    )
    model.fit(*data, epochs=1, callbacks=[exporter], verbose=0)
    with prometheus(real_gateway, tmp_path) as query:  # one that takes classic ones
        awaited(lambda: query("gangplank_train_model_weights_count"))
        buckets = query("gangplank_train_model_weights_bucket")
        counts = sorted((float(series["le"]), count) for series, count in buckets)
        assert counts == weights_histogram(model, bounds).samples()
    (tmp_path / "native").mkdir()
    with prometheus(real_gateway, tmp_path / "native", FLAG) as query:
        awaited(lambda: query("histogram_count(gangplank_train_model_weights)"))
        assert_tells_of(query, "gangplank_train_model_weights", values(model.trainable_variables))


def test_a_layer_that_is_nan_or_stands_still_is_seen(real_gateway, deep, tmp_path):
    assert blocks("README.md", ["python", "sh", "promql"])[2] == [SICK]
    deep.get_layer("still").trainable = False
    deep.compile("sgd", "mse")
    exporter = TrainTestExporter(
        real_gateway,
        "digits",
        statistics="layer",
        update_ratio=True,
        weights="all",
        histogram_freq=1,
        ignore_exceptions=False,
    )
    deep.fit(X, X[:, :2], epochs=2, callbacks=[Breaks(), exporter], verbose=0)
    with prometheus(real_gateway, tmp_path) as query:
        awaited(lambda: query("gangplank_train_weights_norm"))
        found = {series["layer"].rpartition("/")[2]: value for series, value in query(SICK.strip())}
        assert found == {"broken": 1, "still": 0}
        for path, expected in weights_statistics(deep, per="layer", weights="all").items():
            ((_, norm),) = query(f'gangplank_train_weights_norm{{layer="{path}"}}')
            assert norm == pytest.approx(expected.norm, rel=1e-15)
        assert query("gangplank_train_learning_rate")[0][1] == pytest.approx(0.01)
        assert query("gangplank_train_samples_per_second")[0][1] > 0
        assert query("gangplank_train_epoch_time_seconds")[0][1] > 0
