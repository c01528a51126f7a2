"""Pushes through the proxy that the environment names, and past it."""

import time

import pytest
import trustme
from conftest import LATE, pushgateway
from faulty import TLS_RECORD, after, answering, dripping, forwarding, saying_nothing, serving
from prometheus_client.exposition import default_handler
from samples import metrics_of

from gangplank import PushError
from gangplank.publishing import Pushgateway
from gangplank.publishing.proxy import proxy_for, without_credentials


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def refusal(address, registry, timeout=10, handler=None):
    with pytest.raises(PushError) as error:
        Pushgateway(address, "job", handler=handler).push(registry, timeout)
    return str(error.value)


@pytest.mark.parametrize(
    ("address", "proxy"),
    [
        ("gateway:9091", "http://proxy:3128"),
        ("http://gateway:9091/prefix", "http://proxy:3128"),
        ("https://gateway", "other:3128"),
        ("128.0.0.1:9091", "http://proxy:3128"),
        ("127.gateway:9091", "http://proxy:3128"),
        ("https://inside.example", None),
        ("127.0.0.1:9091", None),
        ("http://127.8.9.10:9091", None),
        ("https://[::1]:9091", None),
        ("LocalHost:9091", None),
    ],
)
def test_which_proxy(address, proxy, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("https_proxy", "other:3128")
    monkeypatch.setenv("no_proxy", ".example")
    assert proxy_for(address) == proxy


def test_no_proxy_is_named():
    assert proxy_for("gateway:9091") is None


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://proxy:3128", "http://proxy:3128"),
        ("proxy:3128", "http://proxy:3128"),
        ("https://user:hunter2@proxy:3128/", "https://proxy:3128"),
        ("user:hunter2@proxy:3128", "http://proxy:3128"),
        ("http://user:hunter2://a/b@c@proxy:3128/", "http://proxy:3128"),
        ("user:hunter2://@proxy", "http://proxy"),
    ],
)
def test_a_proxy_is_shown_without_its_password(proxy, shown):
    assert without_credentials(proxy) == shown


def test_loopback_needs_no_proxy(gateway, registry, port, monkeypatch):
    with monkeypatch.context() as environment:
        environment.setenv("http_proxy", f"http://127.0.0.1:{port}")
        Pushgateway(gateway, "job").push(registry, 10)
        Pushgateway(gateway.replace("127.0.0.1", "localhost"), "named").push(registry, 10)
    assert metrics_of(gateway, "job")["answer"] == metrics_of(gateway, "named")["answer"] == 42


def test_a_push_through_a_proxy(gateway, registry, monkeypatch):
    heads = []
    with (
        serving(forwarding(gateway, heads), peek=True) as proxy,
        monkeypatch.context() as environment,
    ):
        environment.setenv("http_proxy", f"http://user:hunter2@{proxy}")
        Pushgateway("gateway.example:9091", "job").push(registry, 10)
    assert metrics_of(gateway, "job")["answer"] == 42
    (head,) = heads
    assert head.startswith("POST http://gateway.example:9091/metrics/job/job HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n" in head


def test_a_push_through_a_tunnel(registry, monkeypatch, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("gateway.example").private_key_and_cert_chain_pem
    certificate.write_to_path(tmp_path / "server.pem")
    (tmp_path / "web.yml").write_text(
        "tls_server_config:\n  cert_file: server.pem\n  key_file: server.pem\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")
    heads = []
    with (
        pushgateway("--web.config.file=web.yml") as address,
        serving(forwarding(address, heads), peek=True) as proxy,
    ):
        monkeypatch.setenv("https_proxy", f"http://user:hunter2@{proxy}")
        gateway = Pushgateway("https://gateway.example", "job")
        gateway.push(registry, 10)
        gateway.delete(10)
    assert len(heads) == 2
    # By HTTP/1.1 from Python 3.12 on.
    assert all(head.startswith("CONNECT gateway.example:443 HTTP/1.") for head in heads)
    assert "Proxy-Authorization: Basic dXNlcjpodW50ZXIy\r\n" in heads[0]


NO = answering("403 Forbidden", b"not you"), "403 Forbidden"
FAILING = {
    "refuses": ("http", *NO),
    "refuses a tunnel": ("https", *NO),
    "cannot reach it": ("http", answering("502 Bad Gateway"), "502 Bad Gateway"),
    "wants a password": ("http", answering("407 Who"), "Check the user and the password in"),
    "hangs": ("http", saying_nothing, "within 0.4 s"),
    "hangs before a tunnel": ("https", saying_nothing, "within 0.4 s"),
    "drips before a tunnel": ("https", dripping(b"HTTP/1.1 200 OK\r\nX: "), "within 0.4 s"),
    "drips in a handshake": (
        "https",
        after(b"HTTP/1.1 200 OK\r\n\r\n", dripping(TLS_RECORD)),
        "within 0.4 s",
    ),
}


@pytest.mark.parametrize(("scheme", "speak", "reason"), FAILING.values(), ids=FAILING)
def test_a_proxy_that_fails_is_named(scheme, speak, reason, registry, monkeypatch):
    with serving(speak) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", f"http://user:hunter2@{proxy}")
        began = time.monotonic()
        message = refusal(f"{scheme}://gateway.example", registry, 0.4)
        assert time.monotonic() - began < LATE
    assert f" at {scheme}://gateway.example through the proxy http://{proxy}: " in message
    assert reason in message
    assert message.endswith("To do without the proxy, name the gateway in the variable no_proxy.")
    assert "hunter2" not in message


@pytest.mark.parametrize("of", ["gateway.example", "127.0.0.1"])
def test_a_proxy_that_a_handler_may_have_taken_is_named(of, registry, port, monkeypatch):
    """Those of prometheus_client go by it also on loopback."""
    with serving(answering("403 Forbidden", b"not you")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://user:hunter2@{proxy}")
        message = refusal(f"{of}:9091", registry, handler=default_handler)
    assert f" at {of}:9091: it answered 403 Forbidden: 'not you'. " in message
    assert message.endswith(
        f" A handler that heeds the environment, as urllib does, went through the proxy http://{proxy}."
        " To do without the proxy, name the gateway in the variable no_proxy."
    )
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert "proxy" not in refusal(f"127.0.0.1:{port}", registry, handler=default_handler)


def test_a_proxy_whose_name_is_not_known(registry, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    assert "the proxy's name is not known" in refusal("gateway.example:9091", registry)


def test_a_proxy_of_another_kind(registry, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://proxy.invalid:1080")
    message = refusal("gateway.example:9091", registry)
    assert "through the proxy socks5://proxy.invalid:1080" in message
    assert "unknown url type: socks5" in message
