"""Pushes to gateways that take it, that refuse it, and that are none."""

import copy
import pickle
import socket
import ssl
import time
import traceback
from pathlib import Path
from urllib.error import HTTPError

import pytest
import trustme
from conftest import LATE, PASSWORD_CONFIG, awaited, fetched, pushgateway
from faulty import (
    TLS_RECORD,
    answering,
    dripping,
    dropping,
    resetting,
    saying,
    saying_nothing,
    secured,
    serving,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, Histogram
from prometheus_client.exposition import default_handler
from samples import metrics_of, samples_in

from gangplank import PushError
from gangplank.gateway import Gateway
from gangplank.publishing import Pushgateway


def refusal(gateway, registry, timeout=10):
    with pytest.raises(PushError) as error:
        gateway.push(registry, timeout)
    message = str(error.value)
    assert "\n" not in message
    assert error.value.__cause__ is not None
    return message


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
@pytest.mark.parametrize("speak", [answering("403 Forbidden"), resetting], ids=["403", "reset"])
def test_an_error_travels_to_another_process(registry, speak, copied):
    with serving(speak) as address, pytest.raises(PushError) as error:
        Pushgateway(address, "job").push(registry, 10)
    other = copied(error.value)
    assert (type(other), str(other)) == (PushError, str(error.value))
    assert (other.may_pass, other.retry_after) == (error.value.may_pass, error.value.retry_after)
    # An answer itself cannot be copied.
    kind = type(None) if isinstance(error.value.reason, HTTPError) else ConnectionResetError
    assert type(other.reason) is kind


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_a_push_adds_to_what_stands_there(gateway, registry, scheme):
    Pushgateway(scheme + gateway, "job").push(registry, 10)
    other = CollectorRegistry()
    Gauge("question", "", registry=other).set(1)
    Pushgateway(scheme + gateway, "job").push(other, 10)
    metrics = metrics_of(gateway, "job")
    assert (metrics["answer"], metrics["question"]) == (42, 1)


def test_sockets_whose_sendall_calls_send_with_keywords(gateway, registry, monkeypatch):
    # As those of gevent do, which it puts in the place of Python's.
    def send(self, data, flags=0, timeout=None):
        return super(socket.socket, self).send(data, flags)

    def sendall(self, data, flags=0):
        sent = 0
        while sent < len(data):
            sent += self.send(memoryview(data)[sent:], flags, timeout=1.0)

    monkeypatch.setattr(socket.socket, "send", send, raising=False)
    monkeypatch.setattr(socket.socket, "sendall", sendall, raising=False)
    Pushgateway(gateway, "job").push(registry, 60)
    assert metrics_of(gateway, "job")["answer"] == 42


def test_all_addresses_of_a_host_are_tried_and_share_the_time(registry, port, monkeypatch):
    found, asked = socket.getaddrinfo, []
    with dropping() as dead:

        def several(host, *options, **kinds):
            asked.append(host)
            return [*found("127.0.0.1", port, **kinds), *found(*dead, **kinds)] * 60

        monkeypatch.setattr(socket, "getaddrinfo", several)
        began = time.monotonic()
        refusal(Pushgateway("gateway.example:9091", "job"), registry, 0.4)
        assert 0.4 <= time.monotonic() - began < 0.4 + LATE
        monkeypatch.undo()
    assert asked == ["gateway.example"]


def test_an_address_that_drops_packets_does_not_take_the_time_of_the_next(
    gateway, registry, monkeypatch
):
    found = socket.getaddrinfo
    with dropping() as dead:

        def both(host, port, *options, **kinds):
            assert host == "gateway.example"
            return [*found(*dead, **kinds), *found(*gateway.split(":"), **kinds)]

        monkeypatch.setattr(socket, "getaddrinfo", both)
        Pushgateway("gateway.example:9091", "job").push(registry, 2)
        monkeypatch.undo()
    assert metrics_of(gateway, "job")["answer"] == 42


def test_a_timeout_is_told_as_the_user_knows_it(registry):
    with dropping() as (host, port):
        address = f"{host}:{port}"
        message = refusal(Pushgateway(address, "job", timeout=0.2), registry, 0.2)
        assert "it did not answer within 0.2 s. Check that it is up" in message
        message = refusal(Pushgateway(address, "job", timeout=2), registry, 0.1)
        assert "it did not answer within 0.1 s, which were left of the timeout of 2 s." in message


def test_an_error_that_a_handler_made_itself(registry):
    def handler(url, **_):
        raise HTTPError(url, 401, "No", None, None)

    assert "it answered 401 No" in refusal(Pushgateway("a:1", "job", handler=handler), registry)


def test_a_group_is_deleted(gateway, registry):
    for job in ("kept", "gone"):
        Pushgateway(gateway, job, {"run": "1"}).push(registry, 10)
    Pushgateway(gateway, "gone", {"run": "1"}).delete(10)
    assert metrics_of(gateway, "kept", run="1")["answer"] == 42
    # The real one answers before it deletes.
    awaited(lambda: metrics_of(gateway, "gone", run="1") == {})


def test_a_group_that_cannot_be_deleted(port):
    address = f"127.0.0.1:{port}"
    with pytest.raises(PushError, match="The group of job 'job' was not deleted from"):
        Pushgateway(address, "job").delete(10)


@pytest.mark.parametrize(
    "job", ["a/b", "a b", "ä", "a+b%2F", 'q"uo\\te', "line\nbreak", "x" * 10_000]
)
def test_jobs_arrive_as_they_were_given(gateway, registry, job):
    Pushgateway(gateway, job).push(registry, 10)
    assert metrics_of(gateway, job)["answer"] == 42


@given(job=st.text(min_size=1), value=st.text())
@settings(max_examples=200, deadline=None)
def test_every_text_arrives_as_it_was_given_or_is_refused(every_gateway, job, value):
    address = every_gateway
    try:
        gateway = Pushgateway(address, job, {"run": value})
    except ValueError:
        assert job in (".", "..") or value in (".", "..") or not is_utf8(job + value)
        return
    registry = CollectorRegistry()
    Gauge("answer", "", registry=registry)
    gateway.push(registry, 10)
    groups = {key for key in samples_in(fetched(f"http://{address}/metrics")) if key[0] == "answer"}
    labels = {"instance": "", "job": job, "run": value}
    assert groups == {("answer", tuple(sorted(labels.items(), key=str)))}
    gateway.delete(10)


def is_utf8(text):
    try:
        return bool(text.encode()) or not text
    except UnicodeEncodeError:
        return False


@pytest.fixture(scope="module", params=["pushgateway", "embedded"])
def every_gateway(request):
    """Both kinds, for a test that leaves them empty."""
    with pushgateway() if request.param == "pushgateway" else Gateway() as server:
        yield server if isinstance(server, str) else server.address


def test_a_grouping_key(gateway, registry):
    Pushgateway(gateway, "job", {"instance": "gpu/7", "run": ""}).push(registry, 10)
    Pushgateway(gateway, "job").push(CollectorRegistry(), 10)
    assert metrics_of(gateway, "job", instance="gpu/7", run="")["answer"] == 42
    assert "answer" not in metrics_of(gateway, "job")


def test_another_type_is_told_in_the_words_of_the_gateway(gateway, registry):
    Pushgateway(gateway, "first").push(registry, 10)
    clash = CollectorRegistry()
    Histogram("answer", "", registry=clash)
    message = refusal(Pushgateway(gateway, "second"), clash)
    assert message.startswith(
        f"The metrics of job 'second' were not pushed to the Pushgateway at {gateway}: "
        "it answered 400 Bad Request: "
    )
    assert "inconsistent with existing metrics" in message
    assert message.endswith("Check whether metrics of these names stand there with another type.")
    assert metrics_of(gateway, "first")["answer"] == 42
    assert metrics_of(gateway, "second").keys() <= {
        "push_time_seconds",
        "push_failure_time_seconds",
    }


def test_nobody_listens(registry, port):
    address = f"127.0.0.1:{port}"
    message = refusal(Pushgateway(address, "job"), registry)
    assert "Connection refused" in message
    assert message.endswith(f"Check that a Pushgateway is up there (curl {address}/-/ready).")


def test_the_name_is_not_known(registry):
    message = refusal(Pushgateway("gateway.invalid:9091", "job"), registry, 5)
    assert "its name is not known" in message


def test_a_gateway_that_never_answers(registry):
    with serving(saying_nothing) as address:
        began = time.monotonic()
        message = refusal(Pushgateway(address, "job"), registry, 0.3)
        assert time.monotonic() - began < 0.3 + LATE
    assert "it did not answer within 0.3 s" in message


DRIPPING = {
    "a head": ("http", b"HTTP/1.1 200 OK\r\nX: "),
    "a body": ("http", b"HTTP/1.1 400 Bad\r\n\r\n"),
    "a handshake": ("https", None),
    "a secured head": ("https", b"HTTP/1.1 200 OK\r\nX: "),
    "a secured body": ("https", b"HTTP/1.1 400 Bad\r\n\r\n"),
}


@pytest.mark.parametrize(("scheme", "head"), DRIPPING.values(), ids=DRIPPING)
def test_a_gateway_that_drips_is_left_in_time(registry, scheme, head, certified):
    speak = dripping(head or TLS_RECORD)
    if scheme == "https" and head:
        speak = secured(certified, speak)
    with serving(speak, peek=True) as address:
        address = f"{scheme}://{address}"
        began = time.monotonic()
        message = refusal(Pushgateway(address, "job"), registry, 0.4)
        assert 0.3 < time.monotonic() - began < 0.4 + LATE
    assert "it did not answer within 0.4 s" in message or "400 Bad" in message


def test_a_redirect_is_told_of_and_not_followed(registry):
    with serving(answering("302 Found", b"", "Location: /login")) as address:
        message = refusal(Pushgateway(address, "job"), registry)
    assert "it answered 302 Found" in message


def test_a_page_is_no_answer_of_a_gateway(registry):
    html = "Content-Type: text/html; charset=utf-8"
    with serving(answering("200 OK", b"<h1>Log in</h1>", html)) as address:
        message = refusal(Pushgateway(address, "job"), registry)
    assert message.endswith(
        "it answered 200 OK: '<h1>Log in</h1>'. Check that this is the address of a Pushgateway."
    )
    with serving(answering("200 OK", b"", html)) as address:
        Pushgateway(address, "job").push(registry, 10)


def test_a_handler_that_fails_is_told_of(registry):
    def handler(**_):
        raise KeyError("GATEWAY_PASSWORD")

    message = refusal(Pushgateway("127.0.0.1:9091", "job", handler=handler), registry)
    assert message.endswith(
        "'GATEWAY_PASSWORD' (KeyError). Check the handler, and the collectors in the registry."
    )


@pytest.mark.parametrize(
    ("speak", "may_pass", "retry_after"),
    [
        (answering("400 Bad Request"), False, 0),
        (answering("401 Unauthorized"), False, 0),
        (answering("403 Forbidden", b"", "Retry-After: 7"), False, 7),
        (answering("404 Not Found"), False, 0),
        (answering("200 OK", b"<p>", "Content-Type: text/html"), False, 0),
        (answering("308 Permanent Redirect"), False, 0),
        (answering("408 Request Timeout"), True, 0),
        (answering("429 Too Many Requests", b"", "Retry-After: 7"), True, 7),
        (answering("429 Too Many Requests", b"", "Retry-After: 1e9"), True, 0),
        (answering("429 Too Many Requests", b"", f"Retry-After: {'9' * 400}"), True, 3600),
        (answering("429 Too Many", b"", "Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"), True, 3600),
        (answering("429 Too Many", b"", "Retry-After: Thu, 01 Jan 1970 00:00:00 GMT"), True, 0),
        (answering("500 Internal Server Error"), True, 0),
        (answering("503 Service Unavailable", b"", "Retry-After: -1"), True, 0),
        (resetting, True, 0),
        (saying(b"SSH-2.0-OpenSSH\r\n"), True, 0),
    ],
)
def test_what_may_pass(registry, speak, may_pass, retry_after):
    with serving(speak) as address, pytest.raises(PushError) as error:
        Pushgateway(address, "job").push(registry, 10)
    assert (error.value.may_pass, error.value.retry_after) == (may_pass, retry_after)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nno\nway", "403 Forbidden: 'no way'."),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404 Not Found: ''. Check that"),
        (b"HTTP/1.1 500 Oh\r\n\r\n" + b"x" * 9000, "500 Oh: 'xxx"),
        (b"SSH-2.0-OpenSSH\r\n", "SSH-2.0-OpenSSH (BadStatusLine). Check that a Pushgateway"),
        (b"", "(RemoteDisconnected). Check that a Pushgateway"),
    ],
)
def test_other_answers(registry, answer, expected):
    with serving(saying(answer)) as address:
        message = refusal(Pushgateway(address, "job"), registry)
    assert expected in message
    assert len(message) < 1000


def test_credentials_that_are_missing(registry, tmp_path):
    config = tmp_path / "web.yml"
    config.write_text(PASSWORD_CONFIG)
    with pushgateway(f"--web.config.file={config}") as address:
        message = refusal(Pushgateway(address, "job"), registry)
    assert "it answered 401 Unauthorized: 'Unauthorized'. Check the credentials" in message


def test_a_file_that_a_handler_wants_is_missing(registry):
    def handler(**_):
        return Path("/nowhere/client.pem").open

    gateway = Pushgateway("127.0.0.1:9091", "job", handler=handler)
    with pytest.raises(PushError, match=r"No such file or directory: '/nowhere") as error:
        gateway.push(registry, 10)
    assert not error.value.may_pass


@pytest.fixture
def certified(tmp_path, monkeypatch):
    """The context of a server on 127.0.0.1 whose certificate is trusted."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_certificate_that_is_not_trusted(registry, certified, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with serving(secured(certified, saying_nothing), peek=True) as address:
        message = refusal(Pushgateway(f"https://{address}", "job"), registry)
    assert "Check its certificate, and SSL_CERT_FILE for your CA." in message


def test_a_secret_that_makes_no_header_is_not_repeated(registry):
    def handler(url, method, timeout, headers, data):
        # As read from a file that ends in a line break.
        return default_handler(url, method, timeout, [("Authorization", "Bearer hunter2\n")], data)

    assert "handler" not in repr(Pushgateway("127.0.0.1:9091", "job", handler=handler))
    with serving(saying_nothing) as address, pytest.raises(PushError) as error:
        Pushgateway(address, "job", handler=handler).push(registry, 10)
    assert "Check that no secret in it ends in a line break" in str(error.value)
    assert "hunter2\\n" not in "".join(traceback.format_exception(error.value))
