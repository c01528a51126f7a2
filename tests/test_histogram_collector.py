"""The exposition of a histogram, byte by byte, and beside prometheus_client's own."""

import threading

import numpy as np
import prometheus_client
import pytest
from conftest import fetched
from prometheus_client import CollectorRegistry, Histogram, generate_latest, pushadd_to_gateway
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics

from gangplank import (
    HistogramCollector,
    NativeBuckets,
    WeightsHistogram,
    weights_histogram,
)
from gangplank.metrics import MetricNames, RunMetrics

NEGATIVE = WeightsHistogram((-0.1, 0.0, 0.1), [1, 2, 3, 4])


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def now(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1.75e9)


@pytest.fixture
def without_created():
    prometheus_client.disable_created_metrics()
    yield
    prometheus_client.enable_created_metrics()


def test_text(registry, now):
    HistogramCollector("weights", "How large they are.", registry).set(NEGATIVE)
    assert generate_latest(registry).decode() == (
        "# HELP weights How large they are.\n"
        "# TYPE weights histogram\n"
        'weights_bucket{le="-0.1"} 1.0\n'
        'weights_bucket{le="0.0"} 3.0\n'
        'weights_bucket{le="0.1"} 6.0\n'
        'weights_bucket{le="+Inf"} 10.0\n'
        "weights_count 10.0\n"
        "# HELP weights_created How large they are.\n"
        "# TYPE weights_created gauge\n"
        "weights_created 1.75e+09\n"
    )


def test_openmetrics(registry, now):
    HistogramCollector("weights", "How large they are.", registry).set(NEGATIVE)
    assert openmetrics.generate_latest(registry).decode() == (
        "# HELP weights How large they are.\n"
        "# TYPE weights histogram\n"
        'weights_bucket{le="-0.1"} 1.0\n'
        'weights_bucket{le="0.0"} 3.0\n'
        'weights_bucket{le="0.1"} 6.0\n'
        'weights_bucket{le="+Inf"} 10.0\n'
        "weights_count 10.0\n"
        "weights_created 1.75e+09\n"
        "# EOF\n"
    )


@pytest.mark.parametrize("exposition", [generate_latest, openmetrics.generate_latest])
@pytest.mark.parametrize("bounds", [(-0.3, -0.1, 0.0, 0.25), (0.0, 0.1, 1e9), (1e-7,)], ids=str)
def test_prints_what_prometheus_client_does(bounds, exposition, now):
    values = np.random.default_rng(0).normal(0, 0.2, 1000)
    observed, counted = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram("weights", "Values.", buckets=bounds, registry=observed)
    for value in values:
        histogram.observe(value)
    HistogramCollector("weights", "Values.", counted).set(weights_histogram([values], bounds))
    # With bounds that are not negative prometheus_client prints a sum, which is not known here.
    lines = exposition(observed).decode().splitlines()
    expected = [line for line in lines if not line.startswith("weights_sum")]
    assert exposition(counted).decode().splitlines() == expected


@pytest.mark.usefixtures("without_created")
def test_created_series_can_be_turned_off(registry):
    HistogramCollector("weights", "", registry).set(NEGATIVE)
    assert "created" not in generate_latest(registry).decode()


def test_shows_nothing_before_it_is_set_and_after_it_is_cleared(registry):
    collector = HistogramCollector("weights", "", registry)
    assert generate_latest(registry) == b""
    collector.set(NEGATIVE)
    collector.clear()
    assert generate_latest(registry) == b""


def test_its_repr_says_what_it_shows():
    collector = HistogramCollector("weights", "How large they are.")
    assert repr(collector) == "HistogramCollector('weights', shows nothing)"
    collector.set(NEGATIVE)
    assert repr(collector) == "HistogramCollector('weights', shows 10 values in 4 buckets)"
    collector.set(weights_histogram([np.arange(9.0)], NativeBuckets()))
    assert repr(collector) == "HistogramCollector('weights', shows 9 values in native buckets)"


def test_a_pushgateway_shows_a_sum_of_0_which_the_help_of_the_weights_speaks_of(real_gateway):
    registry = CollectorRegistry()
    HistogramCollector("weights", "", registry).set(NEGATIVE)
    pushadd_to_gateway(real_gateway, "job", registry)
    assert "weights_sum" not in generate_latest(registry).decode()
    assert 'weights_sum{instance="",job="job"} 0\n' in fetched(f"http://{real_gateway}/metrics")
    collector = RunMetrics("train", MetricNames((), None))
    documentation = {family.name: family.documentation for family in collector.describe()}
    assert "_sum / _count is no mean" in documentation["gangplank_train_model_weights"]


def test_a_registry_refuses_a_second_one_of_the_name(registry):
    HistogramCollector("weights", "", registry)
    with pytest.raises(ValueError, match="Duplicated"):
        HistogramCollector("weights", "", registry)
    with pytest.raises(ValueError, match="Duplicated"):
        prometheus_client.Gauge("weights_count", "", registry=registry)


def test_a_name_that_is_none():
    with pytest.raises(ValueError, match=r"(?i)metric name"):
        HistogramCollector("", "", CollectorRegistry())


def test_counts_beyond_float32(registry):
    counts = [2**24 + 1, 2**31 + 1, 0]
    HistogramCollector("weights", "", registry).set(WeightsHistogram((0.0, 1.0), counts))
    assert registry.get_sample_value("weights_bucket", {"le": "0.0"}) == 2**24 + 1
    assert registry.get_sample_value("weights_count") == 2**31 + 2**24 + 2


def test_a_scrape_while_it_is_set_sees_one_whole_histogram(registry):
    collector = HistogramCollector("weights", "", registry)
    bounds = tuple(range(50))
    end = threading.Event()

    def set_again_and_again():
        n = 0
        while not end.is_set():
            n += 1
            collector.set(WeightsHistogram(bounds, [n] * 51))

    setter = threading.Thread(target=set_again_and_again)
    setter.start()
    try:
        seen = set()
        while len(seen) < 50:
            for metric in registry.collect():
                values = [s.value for s in metric.samples if not s.name.endswith("created")]
                n = values[0]
                assert values == [*(n * (i + 1) for i in range(51)), 51 * n]
                seen.add(n)
    finally:
        end.set()
        setter.join()


@pytest.mark.parametrize(
    "value", [None, {"a": WeightsHistogram((0.0,), [1, 2])}, Metric("a", "", "gauge")], ids=repr
)
def test_what_is_no_histogram(value):
    with pytest.raises(TypeError, match="histogram must be a WeightsHistogram or a Native"):
        HistogramCollector("weights", "").set(value)
