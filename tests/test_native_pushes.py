"""Pushes that have native histograms: what handlers are given, and gateways that refuse them."""

import numpy as np
import prometheus_client
import pytest
from conftest import LATE, fetched, request
from faulty import answering, serving
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import Metric
from prometheus_client.exposition import default_handler
from prometheus_client.registry import Collector
from runs import fit
from samples import metrics_of
from test_gateway_api import groups
from test_retries import failing

from gangplank import HistogramCollector, NativeBuckets, TrainTestExporter, weights_histogram
from gangplank.gateway import Gateway
from gangplank.metrics.messages import native_histogram
from gangplank.metrics.protobuf import CONTENT_TYPE, MetricFamily, decoded, encoded
from gangplank.publishing import Pushgateway
from gangplank.publishing.push_error import PushError

HEADERS = {"Content-Type": CONTENT_TYPE}
OTHERS = {"gangplank_train_loss", "gangplank_train_epochs_count", "gangplank_train_status"}


@pytest.fixture
def registry():
    registry = CollectorRegistry()
    Gauge("loss", "The loss.", registry=registry).set(0.5)
    histogram = weights_histogram(np.array([0.25, -0.5, 0.0]), NativeBuckets())
    HistogramCollector("weights", "Weights.", registry).set(histogram)
    return registry


def pushed(address, registry):
    Pushgateway(address, "job", None, None, 10.0).push(registry, LATE)


@pytest.mark.parametrize("status", ["400 Bad Request", "406 Not Acceptable", "415 Unsupported"])
def test_a_gateway_that_takes_text_only(registry, status):
    refusing = serving(answering(status, b"text format parsing error"))
    with refusing as address, pytest.raises(PushError, match=f"it answered {status}") as caught:
        pushed(address, registry)
    assert "pass upper bounds as histogram_buckets in place of NativeBuckets()" in str(caught.value)


def test_a_refusal_of_another_kind_does_not_speak_of_formats(registry):
    with serving(answering("401 Unauthorized")) as address, pytest.raises(PushError) as caught:
        pushed(address, registry)
    assert "NativeBuckets" not in str(caught.value)


def test_all_metrics_come_in_one_push_through_the_handler(gateway, model, data):
    pushes = []

    def handler(url, method, timeout, headers, data):
        pushes.append((method, dict(headers), data))
        return default_handler(url, method, timeout, headers, data)

    exporter = TrainTestExporter(
        gateway,
        "digits",
        handler=handler,
        histogram_buckets=NativeBuckets(),
        histogram_per="layer",
        ignore_exceptions=False,
    )
    model.fit(*data, epochs=1, callbacks=[exporter], verbose=0)
    method, headers, body = pushes[-1]
    assert (method, headers) == ("POST", HEADERS)
    families = {family.name: family for family in decoded(body)}
    assert families.keys() >= OTHERS
    ((_, group),) = groups(gateway).items()
    assert group.keys() >= families.keys() | {"gangplank_train_layer_weights"}
    layers = [
        native_histogram(metric.histogram)
        for metric in families["gangplank_train_layer_weights"].metric
    ]
    assert sum(native.count_value for native in layers) == model.count_params()


def test_what_may_pass_is_tried_again(gateway, model, data):
    handler, _ = failing(2, "503 Unavailable")
    exporter = TrainTestExporter(
        gateway, "digits", handler=handler, histogram_buckets=NativeBuckets()
    )
    model.fit(*data, epochs=1, callbacks=[exporter], verbose=0)
    metrics = metrics_of(gateway, "digits")
    assert metrics["gangplank_train_push_failures_total"] == 2
    assert metrics["gangplank_train_model_weights_count"] == model.count_params()


def test_what_a_user_pushes_as_text(gateway, registry):
    """prometheus_client's text has the native histogram's one bucket, for both gateways."""
    prometheus_client.push_to_gateway(gateway, "job", registry)
    assert 'weights_bucket{instance="",job="job",le="+Inf"} 3' in fetched(
        f"http://{gateway}/metrics"
    )


class Odd(Collector):
    """Samples that are named otherwise than their families."""

    def collect(self):
        gauge = Metric("svc", "Of a service.", "gauge")
        gauge.add_sample("svc_requests", {"of": "a"}, 1.0)
        gauge.add_sample("svc_errors", {"of": "a"}, 2.0)
        summary = Metric("took", "Seconds.", "summary")
        for ending, value in (("_count", 3.0), ("_sum", 4.0), ("_max", 5.0)):
            summary.add_sample(f"took{ending}", {}, value)
        other = Metric("other", "Of another.", "gauge")
        other.add_sample("svc_requests", {"of": "b"}, 6.0)
        dotted = Metric("a.b", "Dotted.", "gauge")
        dotted.add_sample("a_b", {"of": "c"}, 7.0)
        dotted.add_sample("a-c", {"of": "c"}, 8.0)
        yield from (gauge, summary, other, dotted)


def test_names_are_those_that_text_has(gateway):
    registry = CollectorRegistry()
    Gauge("my.metric", "Of others.", ["my.label"], registry=registry).labels("a").set(1)
    registry.register(Odd())
    prometheus_client.push_to_gateway(gateway, "text", registry)
    histogram = weights_histogram(np.zeros(1), NativeBuckets())
    HistogramCollector("weights", "Weights.", registry).set(histogram)
    pushed(gateway, registry)
    for job in ("text", "job"):
        assert metrics_of(gateway, job, my_label="a") == {"my_metric": 1}
        assert metrics_of(gateway, job, of="a") == {"svc_requests": 1, "svc_errors": 2}
        assert metrics_of(gateway, job, of="b") == {"svc_requests": 6}
        assert metrics_of(gateway, job, of="c") == {"a_b": 7, "a_c": 8}
        took = [metrics_of(gateway, job)[f"took_{each}"] for each in ("count", "sum", "max")]
        assert took == [3, 4, 5]


def test_the_embedded_gateway_tells_the_same_here_as_there(model, data):
    with Gateway() as gateway:
        exporter = TrainTestExporter(gateway.address, "job", histogram_buckets=NativeBuckets())
        fit(model, data, exporter)
        assert "gangplank_train_model_weights_count" in gateway.metrics()
        assert gateway.metrics() == fetched(f"http://{gateway.address}/metrics")


def test_a_classic_histogram_in_the_place_of_a_native_one(gateway, registry):
    pushed(gateway, registry)
    text = b'# TYPE weights histogram\nweights_bucket{le="+Inf"} 1\nweights_count 1\n'
    assert request(gateway, "POST", "/metrics/job/job", text) == (200, "")
    assert metrics_of(gateway, "job")["weights_count"] == 1


def test_counts_that_are_no_integers_are_refused():
    family = MetricFamily(name="weights", type="HISTOGRAM")
    histogram = family.metric.add().histogram
    histogram.schema, histogram.zero_threshold, histogram.sample_count_float = 3, 0.1, 1.5
    with Gateway() as gateway:
        body = encoded([family])
        answer = request(gateway.address, "POST", "/metrics/job/a", body, **HEADERS)
        assert answer[0] == 400
        assert "counts that are no integers are not taken" in answer[1]
        assert groups(gateway.address) == {}
