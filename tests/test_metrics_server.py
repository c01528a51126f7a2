"""What serves a registry to a Prometheus."""

import errno
import os
import re
import socket
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from conftest import awaited, fetched, in_a_process, request
from prometheus_client import Counter, generate_latest
from test_native_prometheus import FLAG, assert_tells_of
from test_prometheus import prometheus

from gangplank import (
    HistogramCollector,
    MetricsServer,
    NativeBuckets,
    TrainTestExporter,
    metrics_server,
    weights_histogram,
)
from gangplank.metrics.protobuf import CONTENT_TYPE, decoded

WEIGHTS = np.random.default_rng(0).normal(size=10_000)


@pytest.fixture
def served(registry):
    Counter("samples", "Some.", registry=registry).inc(3)
    collector = HistogramCollector("weights", "Of a model.", registry)
    collector.set(weights_histogram([WEIGHTS], NativeBuckets()))
    with MetricsServer(0, registry, "127.0.0.1") as server:
        yield f"127.0.0.1:{server.port}"


def test_text_is_what_prometheus_client_serves(served, registry):
    assert fetched(f"http://{served}/metrics") == generate_latest(registry).decode()


def test_protobuf_for_who_asks_for_it(served):
    asked = urllib.request.Request(f"http://{served}/metrics", headers={"Accept": CONTENT_TYPE})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        families = {family.name: family for family in decoded(answer.read())}
    assert families["samples_total"].metric[0].counter.value == 3
    assert families["weights"].metric[0].histogram.schema == 3
    assert families["weights"].metric[0].histogram.sample_count == 10_000


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [("POST", "/metrics", 405), ("OPTIONS", "/metrics", 200), ("GET", "/favicon.ico", 200)],
)
def test_other_requests_have_no_metrics(served, method, path, expected):
    status, body = request(served, method, path, Accept=CONTENT_TYPE)
    assert status == expected
    assert "samples" not in body


@pytest.mark.parametrize("sent", [b"", b"GET /metr"])
def test_nothing_is_said_of_a_client_that_falls_silent(served, sent, monkeypatch, capsys):
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.2)
    host, port = served.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(sent)
        assert client.recv(1) == b""
    assert capsys.readouterr().err == ""
    monkeypatch.undo()
    assert "weights" in fetched(f"http://{served}/metrics")


def test_protobuf_of_some_names_alone(served):
    url = f"http://{served}/metrics?name[]=samples_total"
    asked = urllib.request.Request(url, headers={"Accept": CONTENT_TYPE})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert [family.name for family in decoded(answer.read())] == ["samples_total"]


@pytest.mark.parametrize(
    ("names", "expected"),
    [(["loss"], ["loss"]), (["loss", "epochs_count"], ["loss", "epochs_count"]), (["none"], [])],
)
@pytest.mark.parametrize("accept", ["text/plain", CONTENT_TYPE])
def test_names_of_metrics_that_keras_logs(accept, names, expected):
    exporter = TrainTestExporter(None)
    exporter.on_train_begin()
    exporter.on_epoch_end(0, {"loss": 1.0, "accuracy": 0.5})
    query = "&".join(f"name[]=gangplank_train_{name}" for name in names)
    with MetricsServer(0, exporter.registry, "127.0.0.1") as server:
        url = f"http://127.0.0.1:{server.port}/metrics?{query}"
        asked = urllib.request.Request(url, headers={"Accept": accept})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            body = answer.read()
    if accept == CONTENT_TYPE:
        found = [family.name for family in decoded(body)]
    else:
        found = re.findall(r"^(\w+) ", body.decode(), re.M)
    assert found == [f"gangplank_train_{name}" for name in expected]
    exporter.on_train_end()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="these are Linux's")
def test_a_forked_process_keeps_no_port():
    result = in_a_process(
        """
import os
import gangplank
kept = gangplank.MetricsServer(0, address="127.0.0.1")
gangplank.MetricsServer(0, address="127.0.0.1")  # serves, too
def sockets():
    targets = [os.readlink(each.path) for each in os.scandir("/proc/self/fd") if each.is_symlink()]
    return sum(target.startswith("socket:") for target in targets)
before = sockets()
child = os.fork()
if not child:
    print(before, sockets(), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], sockets())
"""
    )
    assert result.stdout == "2 0\n0 2\n", result.stderr


def test_a_real_prometheus_scrapes_native_histograms(served, tmp_path):
    with prometheus(served, tmp_path, FLAG) as query:
        awaited(lambda: query("histogram_count(weights)"))
        assert_tells_of(query, "weights", WEIGHTS)


def test_a_port_that_is_taken(served, registry):
    port = int(served.partition(":")[2])
    with pytest.raises(OSError, match=f"port must be a free port of 127.0.0.1, but {port} is not"):
        MetricsServer(port, registry, "127.0.0.1")


def test_ipv6_and_repr(registry):
    with MetricsServer(0, registry, "::1") as server:
        assert "samples" not in fetched(f"http://[::1]:{server.port}/")
        assert repr(server) == f"<MetricsServer at port {server.port}>"


def test_a_port_is_free_again_where_no_thread_can_be_started(registry, port, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start new thread") as failure:
            MetricsServer(port, registry, "127.0.0.1")
    with MetricsServer(port, registry, "127.0.0.1") as server:
        assert server.port == port
    del failure


def test_another_failure_is_not_said_to_be_the_address(monkeypatch):
    def fails(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(metrics_server, "make_server", fails)
    with pytest.raises(OSError, match=r"^\[Errno 24\] Too many open files$"):
        MetricsServer(0)


@pytest.mark.parametrize("address", ["192.0.2.1", "fe80::1", "no.such.host.invalid"])
def test_an_address_of_another_machine(address):
    with pytest.raises(OSError, match=r"address must be one of this machine's\. Received"):
        MetricsServer(0, address=address)


@pytest.mark.parametrize("registry", [None, "x", 3])
def test_what_is_no_registry(registry):
    with pytest.raises(ValueError, match=r"registry must be a prometheus_client.Col.*\. Received"):
        MetricsServer(0, registry)


def test_what_is_no_address():
    with pytest.raises(ValueError, match=r"address must be a text, such as .*\. Received 5"):
        MetricsServer(0, address=5)
