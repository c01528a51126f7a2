"""The whole way: Keras, the exporter, a real Pushgateway, a real Prometheus and its answers."""

import contextlib
import json
import subprocess
import urllib.parse

import numpy as np
import prometheus_client
import pytest
from conftest import awaited, fetched, held_port, server

from gangplank import HISTOGRAM_WEIGHT_BUCKETS_0_3, TrainTestExporter, weights_histogram

# A scrape may take as long as the interval; what was there is gone where one takes longer.
CONFIG = """
global: {{scrape_interval: 3s}}
scrape_configs:
  - job_name: scraped
    honor_labels: true
    static_configs: [{{targets: ["{target}"]}}]
"""


@contextlib.contextmanager
def prometheus(target, folder, *flags):
    """A function that asks a Prometheus that scrapes `target` a PromQL query."""
    config = folder / "prometheus.yml"
    config.write_text(CONFIG.format(target=target))

    def query(expression):
        parameters = urllib.parse.urlencode({"query": expression})
        answer = json.loads(fetched(f"http://{address}/api/v1/query?{parameters}"))
        return [(item["metric"], float(item["value"][1])) for item in answer["data"]["result"]]

    with held_port() as port:
        address = f"127.0.0.1:{port}"
        with server(
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            *flags,
            ready=lambda: fetched(f"http://{address}/-/ready"),
        ):
            yield query


def train_and_test(model, data, gateway):
    exporter = TrainTestExporter(
        gateway, "digits", histogram_buckets=HISTOGRAM_WEIGHT_BUCKETS_0_3, ignore_exceptions=False
    )
    history = model.fit(*data, epochs=3, validation_split=0.2, callbacks=[exporter], verbose=0)
    tested = model.evaluate(*data, callbacks=[exporter], verbose=0, return_dict=True)
    return exporter, history.history, tested


def quantile(share, histogram):
    """Prometheus's estimate: linear within a bucket, and the finite bound of the two outer ones."""
    rank = share * histogram.count
    i = int(np.searchsorted(histogram.cumulative, rank))
    if i == 0:
        return histogram.bounds[0]
    if i == len(histogram.bounds):
        return histogram.bounds[-1]
    low, high = histogram.bounds[i - 1], histogram.bounds[i]
    return low + (high - low) * (rank - histogram.cumulative[i - 1]) / histogram.counts[i]


def assert_answers(query, model, history, tested, labels):
    """The answers of a Prometheus are what Keras and NumPy say."""
    (answer,) = awaited(lambda: query("gangplank_test_model_weights_count"))
    assert answer[0]["job"] == labels["job"]

    for phase, values in (
        ("train", {name: values[-1] for name, values in history.items()}),
        ("test", tested),
    ):
        for name, value in values.items():
            ((series, scraped),) = query(f"gangplank_{phase}_{name}")
            assert scraped == pytest.approx(value, rel=1e-15)
            assert series["job"] == labels["job"]
        assert query(f"gangplank_{phase}_model_parameters_count")[0][1] == 27
        assert query(f"gangplank_{phase}_elapsed_time_seconds")[0][1] > 0
        assert query(f"gangplank_{phase}_model_nan_weights")[0][1] == 0

        histogram = weights_histogram(model, HISTOGRAM_WEIGHT_BUCKETS_0_3)
        name = f"gangplank_{phase}_model_weights"
        buckets = {float(series["le"]): value for series, value in query(f"{name}_bucket")}
        assert sorted(buckets.items()) == histogram.samples()
        assert query(f"{name}_count")[0][1] == histogram.count == 27
        assert query(f"{name}_created")[0][1] > 1.7e9
        for share in (0.25, 0.5, 0.75):
            ((_, estimate),) = query(f"histogram_quantile({share}, {name}_bucket)")
            assert estimate == pytest.approx(quantile(share, histogram), abs=1e-12)
    assert query("gangplank_train_epochs_count")[0][1] == 3


def test_pushed(real_gateway, model, data, tmp_path):
    _, history, tested = train_and_test(model, data, real_gateway)
    with prometheus(real_gateway, tmp_path) as query:
        assert_answers(query, model, history, tested, {"job": "digits"})


def test_scraped(model, data, port, tmp_path):
    exporter, history, tested = train_and_test(model, data, None)
    httpd, thread = prometheus_client.start_http_server(port, "127.0.0.1", exporter.registry)
    try:
        with prometheus(f"127.0.0.1:{port}", tmp_path) as query:
            assert_answers(query, model, history, tested, {"job": "scraped"})
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def complaints(exposition):
    """What promtool finds about our metrics, less the names that end in _count by contract."""
    check = subprocess.run(
        ["promtool", "check", "metrics"], input=exposition, capture_output=True, text=True
    )
    assert "error" not in check.stderr.lower(), check.stderr
    return [
        line
        for line in (check.stdout + check.stderr).splitlines()
        if line.startswith("gangplank")
        and not line.endswith(
            'non-histogram and non-summary metrics should not have "_count" suffix'
        )
    ]


def test_promtool_finds_nothing(real_gateway, model, data):
    exporter, _, _ = train_and_test(model, data, real_gateway)
    pushed = fetched(f"http://{real_gateway}/metrics")
    scraped = prometheus_client.generate_latest(exporter.registry).decode()
    assert "gangplank_test_model_weights_bucket" in pushed
    assert complaints(pushed) == []
    assert complaints(scraped) == []
    # It would find a fault.
    assert complaints("# TYPE gangplank_x counter\ngangplank_x 1\n") != []
