"""Requests that the embedded gateway refuses, and clients that do not behave."""

import contextlib
import gzip
import random
import socket
import urllib.request
from http import HTTPStatus
from urllib.error import HTTPError

import fuzz
import pytest
from conftest import awaited, request
from prometheus_client import CollectorRegistry, Gauge, push_to_gateway
from runs import fit
from samples import sample, samples_in, shown

from gangplank import PushError, TrainTestExporter
from gangplank.gateway import Gateway
from gangplank.publishing import Pushgateway


@pytest.mark.parametrize(
    ("encoding", "body", "problem"),
    [
        ("gzip", b"x 1\n", "the body is no gzip"),
        ("gzip", gzip.compress(b"x 1\n")[:-4], "the body is no whole gzip"),
        ("gzip", gzip.compress(b"x 1\n") + b"y", "the body is no whole gzip"),
        ("gzip", gzip.compress(bytes(9 << 20)), "the body has more than 8388608 bytes when unp"),
        ("br", b"x 1\n", "the Content-Encoding 'br' is not known here, but gzip is"),
    ],
    ids=["text", "cut short", "followed", "too large", "another"],
)
def test_what_cannot_be_unpacked_is_refused(encoding, body, problem):
    with Gateway() as gateway:
        headers = {"Content-Encoding": encoding}
        url = f"http://{gateway.address}/metrics/job/a"
        pushed = urllib.request.Request(url, body, headers, method="POST")
        with pytest.raises(HTTPError, match="400") as caught:
            urllib.request.urlopen(pushed, timeout=60)
        assert problem in caught.value.read().decode()
        assert shown(gateway.address) == {}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Length: 99999999999", 413),
        ("Content-Length: -1", 411),
        ("Content-Length: many", 411),
        (f"Content-Length: {'9' * 5000}", 411),
        ("Transfer-Encoding: chunked", 411),
    ],
)
def test_bodies_of_unknown_or_unbounded_size(headers, status):
    with Gateway() as gateway:
        host, _, port = gateway.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(f"POST /metrics/job/a HTTP/1.0\r\n{headers}\r\n\r\n".encode())
            assert client.recv(100).startswith(f"HTTP/1.0 {status} ".encode())


def test_a_push_that_is_too_large_is_told_so():
    registry = CollectorRegistry()
    Gauge("answer", "x" * (9 << 20), registry=registry)
    with Gateway() as gateway:
        with pytest.raises(PushError) as error:
            Pushgateway(gateway.address, "job").push(registry, 10)
        answer = f"413 {HTTPStatus(413).phrase}"  # which is another from Python 3.13 on
        assert f"it answered {answer}: 'more than 8388608 bytes'" in str(error.value)
        assert "Push less at once, such as a histogram of fewer buckets" in str(error.value)
        assert not error.value.may_pass
        with pytest.raises(HTTPError, match="413"):
            push_to_gateway(gateway.address, "job", registry)
        assert shown(gateway.address) == {}


def test_a_histogram_of_too_many_buckets_is_told_so(model, data, caplog):
    with Gateway() as gateway:
        # To write so much text takes a second, and many on a busy machine.
        many = range(200_000)
        exporter = TrainTestExporter(gateway.address, "large", histogram_buckets=many, timeout=60)
        with pytest.warns(UserWarning, match="make 200,004 time series"):
            fit(model, data, exporter)
    assert "413" in caplog.messages[-1]
    assert "Push less at once, such as a histogram of fewer buckets" in caplog.messages[-1]


def test_a_body_whose_end_is_not_known_beforehand_is_told_so():
    with Gateway() as gateway:
        chunks = (b"x" * 65536 for _ in range(200))
        with pytest.raises(HTTPError, match="411"):
            urllib.request.urlopen(f"http://{gateway.address}/metrics/job/a", chunks, timeout=10)


def test_a_client_that_sends_without_end_is_left():
    with Gateway() as gateway:
        host, _, port = gateway.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"POST /metrics/job/a HTTP/1.0\r\nContent-Length: 999999999\r\n\r\n")
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 999_999_999:
                    client.sendall(b"x" * 65536)
                    sent += 65536
            assert 64 << 20 <= sent < 999_999_999


def test_a_client_that_goes_away_leaves_no_trace(capfd):
    with Gateway() as gateway:
        host, _, port = gateway.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=60) as client:
            client.sendall(b"POST /metrics/job/a HTTP/1.0\r\nContent-Length: 100\r\n\r\nx 1\n")
        assert request(gateway.address, "GET", "/-/ready") == (200, "OK")
        assert shown(gateway.address) == {}
    assert capfd.readouterr().err == ""


def test_malformed_requests_are_answered_4xx_and_leave_nothing():
    rng = random.Random(0)
    with Gateway() as gateway:
        request(gateway.address, "POST", "/metrics/job/a", b"x 1\n")
        for _ in range(2000):
            bad = fuzz.malformed(rng)
            assert 400 <= fuzz.answer(gateway.address, bad) < 500, bad
        assert shown(gateway.address) == sample("x", 1, job="a")


def test_requests_with_bytes_changed_are_taken_whole_or_refused():
    rng = random.Random(0)
    with Gateway() as gateway:
        statuses = {fuzz.answer(gateway.address, fuzz.mutated(rng)) for _ in range(1000)}
        assert statuses <= {200, 400, 404, 405, 411, 413}
        samples_in(gateway.metrics())
        assert request(gateway.address, "GET", "/-/ready") == (200, "OK")


@pytest.mark.parametrize("line", [b"\r\n", b"GET\r\n\r\n", b"GET /nowhere\r\n\r\n"])
def test_a_request_that_names_no_version_is_answered_with_a_status(line):
    with Gateway() as gateway:
        assert fuzz.answer(gateway.address, line) in (400, 404)


def test_too_many_connections_at_once_are_told_to_come_again():
    with Gateway() as gateway, contextlib.ExitStack() as stack:
        host, _, port = gateway.address.partition(":")
        silent = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(64)
        ]
        awaited(lambda: fuzz.answer(gateway.address, b"GET /-/ready HTTP/1.0\r\n\r\n") == 503)
        silent[0].close()
        awaited(lambda: request(gateway.address, "GET", "/-/ready") == (200, "OK"))
