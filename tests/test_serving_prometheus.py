"""What a real Prometheus makes of served models: the dashboard, the alerts, the latencies."""

import json
import subprocess
import time

import keras
import numpy as np
import pytest
from conftest import awaited
from prometheus_client import CollectorRegistry, generate_latest
from stack import SERVING, Stack, panels_of, watching

from gangplank import Drift, PrometheusModel
from gangplank.monitoring import dashboard_json, rules_yaml

PANELS = {
    panel["title"]: [target["expr"] for target in panel["targets"]]
    for panel in panels_of(json.loads(dashboard_json()))
    if "gangplank_predict_" in json.dumps(panel["targets"])
}


class Moody(keras.Model):
    """Doubles its input, and dislikes batches of some sizes."""

    def call(self, inputs):
        if inputs.shape[0] == 13:
            raise RuntimeError("bad luck")
        if inputs.shape[0] == 14:
            raise ValueError("too many")
        return inputs * 2.0


def fails(inputs, outputs):
    raise ZeroDivisionError


class Watched:
    """Two models in one registry, and the servers that watch them."""

    def __init__(self, models, registry):
        self.models, self.registry = models, registry
        self.latencies = {}

    def asked(self, query, model="a|b"):
        """The answers to a query of the dashboard where models are chosen, by the labels that
        tell them apart.
        """
        for name, value in (("job", ".*"), ("model", model), ("__rate_interval", "5m")):
            query = query.replace(f"${name}", value)
        kept = {"model", "method", "type"}
        return {
            frozenset((name, value) for name, value in labels if name in kept): answer
            for labels, answer in self.servers.asked(query).items()
        }

    def use(self):
        """Two calls of `predict_on_batch`, three others, one that fails, and one rejected."""
        for name, model in self.models.items():
            for _ in range(2):
                model.predict_on_batch(np.ones((4, 3)))
            self.latencies[name] = []
            for _ in range(3):
                began = time.perf_counter()
                model(np.ones((5, 3)))
                self.latencies[name].append(time.perf_counter() - began)
            for size, error in ((13, RuntimeError), (14, ValueError)):
                with pytest.raises(error):
                    model(np.ones((size, 3)))

    def is_scraped(self):
        self.servers.time = time.time()
        scraped = self.servers.asked('{__name__=~"gangplank_predict.*_total"}')
        return sorted(scraped.values()) == self.shown("_total")

    def shown(self, end):
        """The values whose names end so."""
        samples = (sample for family in self.registry.collect() for sample in family.samples)
        return sorted(sample.value for sample in samples if sample.name.endswith(end))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder, registry = tmp_path_factory.mktemp("serving"), CollectorRegistry()
    found = [Drift(False, 0.5, 1.5), Drift(True, 1e-9, 2.5)]
    options = {"registry": registry, "drift_queue_size": 0, "address": "127.0.0.1"}
    detectors = {"a": lambda inputs, _: found[len(inputs) == 5], "b": fails}
    models = {
        name: PrometheusModel(
            Moody(),
            name=name,
            version="1",
            port=0 if name == "a" else None,
            get_drift_metrics_func=detector,
            **options,
        )
        for name, detector in detectors.items()
    }
    config = (SERVING / "prometheus.yml").read_text()
    changes = {
        "127.0.0.1:8000": f"127.0.0.1:{models['a'].metrics_port}",
        "scrape_interval: 5s": "scrape_interval: 3s",
        "../stack/prometheus/rules.yml": "rules.yml",
    }
    rules = rules_yaml(slow_after=1e-9)
    try:
        watched = Watched(models, registry)
        watched.use()  # of what is there at the first scrape, rates show nothing
        with watching(folder, config, rules, "127.0.0.1:19093", changes) as addresses:
            watched.servers = Stack([], *addresses)
            awaited(watched.is_scraped)
            watched.use()
            awaited(watched.is_scraped)
            yield watched
    finally:
        for model in models.values():
            model.close()


def of_models(value, **labels):
    """The same answer for each of the two models, with further labels."""
    return {frozenset({"model": name, **labels}.items()): value for name in ("a", "b")}


def test_each_query_of_the_dashboard_answers_what_was_called(watched):
    answers = {title: [watched.asked(query) for query in PANELS[title]] for title in PANELS}
    predict, call = {"method": "predict_on_batch"}, {"method": "call"}
    predicted, called = answers["Predicted samples"]
    answered, failed, rejected = answers["Calls"]
    # Of each round the same calls were made, so that all rates are of the same times.
    for model in ("a", "b"):
        rate = {
            name: answered[frozenset({"model": model, "method": name}.items())]
            for name in ("predict_on_batch", "call")
        }
        key = frozenset({("model", model)})
        of_call = frozenset({"model": model, **call}.items())
        assert predicted[key] == pytest.approx(4 * rate["predict_on_batch"])
        assert called[key] == pytest.approx(5 * rate["call"])
        assert 3 * rate["predict_on_batch"] == pytest.approx(2 * rate["call"])
        assert failed[of_call] == rejected[of_call] == pytest.approx(rate["call"] / 3)
    means, halves, most = answers["Latency"]
    for answer in (means, halves, most):
        assert answer.keys() == (of_models(0, **predict) | of_models(0, **call)).keys()
        assert all(0 < value < 10 for value in answer.values())
    (samples,) = answers["Samples of a call"]
    assert samples == pytest.approx(of_models(4, **predict) | of_models(5, **call))
    assert answers["Samples in flight"] == [of_models(0, **predict) | of_models(0, **call)]
    (first,) = answers["Time to the first answer"]
    assert sorted(first.values()) == watched.shown("_first_answer_seconds")
    of_a = frozenset({("model", "a")})
    assert answers["Drift"] == [{of_a: 1e-9}]
    detected, dropped, broken = answers["Drift found"]
    assert (detected, dropped) == ({of_a: 6}, of_models(0))
    assert broken == {frozenset({("model", "b")}): 10}
    assert len(answers) == 8


def test_a_model_can_be_chosen(watched):
    for query in (query for queries in PANELS.values() for query in queries):
        of_a = {labels for labels in watched.asked(query) if ("model", "a") in labels}
        assert watched.asked(query, "a").keys() == of_a


def test_the_latency_is_that_of_the_calls_in_native_buckets(watched):
    name = 'gangplank_predict_latency_seconds{model="a", method="call"}'
    servers = watched.servers
    assert [*servers.asked(f"histogram_count({name})").values()] == [6]
    (median,) = servers.asked(f"histogram_quantile(0.5, rate({name[:-1]}}}[5m]))").values()
    # Measured outside of the calls, and estimated in buckets of 9%.
    assert 0 < median <= max(watched.latencies["a"]) * 2 ** (1 / 8)


def test_each_alert_of_serving_tells_of_what_is_wrong(watched):
    found = {
        rule["name"]: {dict(labels)["model"] for labels in watched.servers.asked(rule["query"])}
        for rule in watched.servers.rules()
        if rule["name"].startswith("Serving")
    }
    assert found == {
        "ServingFails": {"a", "b"},
        "ServingRejects": {"a", "b"},
        "ServingSlow": {"a", "b"},
        "ServingDrifts": {"a"},
        "ServingDriftUnseen": {"b"},
    }


def test_promtool_finds_nothing_at_all(watched):
    text = generate_latest(watched.registry)
    for name in ("call_total", "drift_dropped_total", "drift_failed_total", "failed_total"):
        assert f"\ngangplank_predict_{name}{{".encode() in text
    check = ["promtool", "check", "metrics"]
    found = subprocess.run(check, input=text, capture_output=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")
