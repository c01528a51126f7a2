"""Pushing to gateways that take it, that refuse it, and that are none."""

import contextlib
import http.server
import socket
import ssl
import threading
import time

import pytest
from conftest import PASSWORD_CONFIG, free_port, pushgateway
from prometheus_client import CollectorRegistry, Gauge, Histogram
from samples import metrics_of

from gangplank import PushError
from gangplank.publisher import Publisher


@pytest.fixture
def registry():
    registry = CollectorRegistry()
    Gauge("answer", "Of all questions.", registry=registry).set(42)
    return registry


def refusal(publisher, registry):
    with pytest.raises(PushError) as error:
        publisher.publish(registry)
    message = str(error.value)
    assert "\n" not in message
    assert error.value.__cause__ is not None
    return message


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_a_push_adds_to_what_stands_there(gateway, registry, scheme):
    Publisher(scheme + gateway, "job").publish(registry)
    other = CollectorRegistry()
    Gauge("question", "", registry=other).set(1)
    Publisher(scheme + gateway, "job").publish(other)
    metrics = metrics_of(gateway, "job")
    assert (metrics["answer"], metrics["question"]) == (42, 1)


@pytest.mark.parametrize(
    "job", ["a/b", "a b", "ä", "a+b%2F", 'q"uo\\te', "line\nbreak", "x" * 1000]
)
def test_jobs_arrive_as_they_were_given(gateway, registry, job):
    Publisher(gateway, job).publish(registry)
    assert metrics_of(gateway, job)["answer"] == 42


def test_a_grouping_key(gateway, registry):
    Publisher(gateway, "job", {"instance": "gpu/7", "run": ""}).publish(registry)
    Publisher(gateway, "job").publish(CollectorRegistry())
    assert metrics_of(gateway, "job", instance="gpu/7", run="")["answer"] == 42
    assert "answer" not in metrics_of(gateway, "job")


def test_no_address_is_no_push(registry):
    Publisher(None, "job").publish(registry)


def test_another_type_is_told_in_the_words_of_the_gateway(gateway, registry):
    Publisher(gateway, "first").publish(registry)
    clash = CollectorRegistry()
    Histogram("answer", "", registry=clash)
    message = refusal(Publisher(gateway, "second"), clash)
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


def test_nobody_listens(registry):
    address = f"127.0.0.1:{free_port()}"
    message = refusal(Publisher(address, "job"), registry)
    assert "Connection refused" in message
    assert message.endswith(f"Check that a Pushgateway is up there: curl {address}/-/ready")


def test_the_name_is_not_known(registry):
    message = refusal(Publisher("gateway.invalid:9091", "job", timeout=5), registry)
    assert "its name is not known" in message


@contextlib.contextmanager
def serving(speak):
    """A server that reads one request and then lets `speak` use the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        end = threading.Event()

        def serve():
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    speak(connection, end)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            end.set()
            thread.join()


def saying_nothing(connection, end):
    end.wait(30)


def saying(answer):
    def speak(connection, _):
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 16):
            pass

    return speak


def dripping(head):
    def speak(connection, end):
        connection.sendall(head)
        while not end.wait(0.05):
            connection.sendall(b"x")

    return speak


def test_a_gateway_that_never_answers(registry):
    with serving(saying_nothing) as address:
        began = time.monotonic()
        message = refusal(Publisher(address, "job", timeout=0.3), registry)
        assert time.monotonic() - began < 5
    assert "it did not answer within 0.3 s" in message


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 400 Bad\r\n\r\n"])
def test_a_gateway_that_drips_is_left_in_time_and_the_next_push_waits_for_it(registry, head):
    with serving(dripping(head)) as address:
        publisher = Publisher(address, "job", timeout=0.4)
        for _ in range(2):
            began = time.monotonic()
            assert "it did not answer within 0.4 s" in refusal(publisher, registry)
            assert time.monotonic() - began < 5
            pushes = [t for t in threading.enumerate() if t.name == "gangplank-push"]
            assert len(pushes) == 1
    pushes[0].join(10)
    assert not pushes[0].is_alive()


def test_a_redirect_to_itself_is_told_in_one_line(registry):
    class Redirect(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Redirect) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        message = refusal(Publisher(f"127.0.0.1:{server.server_port}", "job"), registry)
        server.shutdown()
        thread.join()
    assert "it answered 302 " in message


def test_a_handler_that_fails_is_told_of(registry):
    def handler(**_):
        raise KeyError("GATEWAY_PASSWORD")

    message = refusal(Publisher("127.0.0.1:9091", "job", handler=handler), registry)
    assert message.endswith(
        "'GATEWAY_PASSWORD' (KeyError). Check the handler, and the collectors in the registry."
    )


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
        message = refusal(Publisher(address, "job"), registry)
    assert expected in message
    assert len(message) < 1000


def test_credentials_that_are_missing(registry, tmp_path):
    config = tmp_path / "web.yml"
    config.write_text(PASSWORD_CONFIG)
    with pushgateway(f"--web.config.file={config}") as address:
        message = refusal(Publisher(address, "job"), registry)
    assert "it answered 401 Unauthorized: 'Unauthorized'. Check the credentials" in message


def test_a_certificate_that_is_not_trusted(registry, tmp_path):
    import trustme

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve():
            with contextlib.suppress(OSError):
                context.wrap_socket(listener.accept()[0], server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        message = refusal(Publisher(address, "job"), registry)
        thread.join()
    assert "Check its certificate, and SSL_CERT_FILE for your CA." in message


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:9091", "localhost", "[::1]:9091", "http://gateway/prefix", "https://gateway:443/"],
)
def test_addresses(address):
    assert Publisher(address, "job").address == address


@pytest.mark.parametrize(
    "address",
    [
        *("", " ", ":9091", "http://", "ftp://gateway", "gateway:port", "gateway:70000"),
        *("gateway:0", "a b", "gateway\n", "http://gateway?x=1", "gateway#x", 9091, b"gateway"),
        *("[::1", "http://a\u2100b"),
    ],
    ids=repr,
)
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match=r"^pgw_addr must be") as error:
        Publisher(address, "job")
    assert "127.0.0.1:9091" in str(error.value)


def test_a_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(ValueError, match="must not hold a user or a password") as error:
        Publisher("https://user:secret@gateway", "job")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"job": ""}, "job must not be empty"),
        ({"job": None}, "job must be a str. Received None"),
        ({"job": ".."}, "job must not be '..'"),
        ({"grouping_key": ["run"]}, r"grouping_key must map label names .* \['run'\]"),
        ({"grouping_key": {"a-b": "c"}}, "label names as keys. Received 'a-b'"),
        ({"grouping_key": {"__a": "c"}}, "label names as keys. Received '__a'"),
        ({"grouping_key": {"le": "c"}}, "must not name the label 'le'"),
        ({"grouping_key": {"job": "c"}}, "must not name the label 'job'"),
        ({"grouping_key": {"run": 7}}, r"grouping_key\['run'\] must be a str. Received 7"),
        ({"handler": "basic"}, "handler must be a function. Received 'basic'"),
        ({"timeout": 0}, "timeout must be a positive number of seconds. Received 0"),
        ({"timeout": float("nan")}, "timeout must be a positive number"),
        ({"timeout": "10"}, "timeout must be a positive number of seconds. Received '10'"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Publisher(**{"address": None, "job": "job", **arguments})
