"""Secrets and hostile names, against a real gateway that wants a certificate and a password."""

import base64
import re
import ssl
import warnings

import keras
import numpy as np
import pytest
import trustme
from conftest import PASSWORD_CONFIG, awaited, pushgateway
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.exposition import default_handler, tls_auth_handler
from prometheus_client.parser import text_string_to_metric_families
from samples import metrics_of

from gangplank import PushError, TrainTestExporter
from gangplank.gateway import Gateway
from gangplank.publishing import Pushgateway

AUTHORITY = trustme.CA()


@pytest.fixture
def secured(tmp_path, monkeypatch):
    """The address of a gateway that wants a certificate of its client, and a password."""
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    AUTHORITY.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "server.pem"
    )
    AUTHORITY.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(
        tmp_path / "client.pem"
    )
    (tmp_path / "web.yml").write_text(
        f"{PASSWORD_CONFIG}tls_server_config:\n  cert_file: server.pem\n  key_file: server.pem\n"
        "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
    )
    monkeypatch.chdir(tmp_path)
    with pushgateway("--web.config.file=web.yml") as address:
        yield f"https://{address}"


def certified(password):
    """A handler that shows the client's certificate, and a password."""
    token = base64.b64encode(f"keras:{password}".encode()).decode()

    def handler(url, method, timeout, headers, data):
        headers = [*headers, ("Authorization", f"Basic {token}")]
        pem = "client.pem"
        return tls_auth_handler(url, method, timeout, headers, data, pem, pem, "ca.pem")

    return handler


def fit(model, data, address, handler=None, **options):
    exporter = TrainTestExporter(address, "job", handler=handler, **options)
    model.fit(*data, callbacks=[exporter], verbose=0)
    return exporter


def test_a_certificate_and_a_password_together(secured, model, data):
    handler = certified("open sesame")
    exporter = fit(model, data, secured, handler, ignore_exceptions=False)
    value = exporter.registry.get_sample_value
    assert value("gangplank_train_push_failures_total") == 0
    assert value("gangplank_train_last_push_success_timestamp_seconds") > 1.7e9


REFUSED = {
    "a wrong password": (certified("hunter2"), "ca.pem", "answered 401 Unauthorized"),
    "no certificate": (None, "ca.pem", "(wants a|bad) certificate|certificate required"),
    "a CA that is not trusted": (None, "", "unable to get local issuer certificate"),
}


@pytest.mark.parametrize(("handler", "trusted", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_told_of_without_the_secret(
    secured, model, data, handler, trusted, reason, caplog, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", trusted)
    with pytest.raises(PushError, match=reason) as error:
        fit(model, data, secured, handler, ignore_exceptions=False)
    exporter = fit(model, data, secured, handler, timeout=1)
    awaited(lambda: caplog.messages)
    for text in (
        *caplog.messages,
        repr(error.value),
        repr(vars(exporter)),
        generate_latest(exporter.registry).decode(),
    ):
        assert "hunter2" not in text
        assert "Authorization" not in text


def test_a_refusal_that_comes_when_the_connection_is_already_closed(secured, registry, monkeypatch):
    def broken(self, *arguments):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setenv("SSL_CERT_FILE", "ca.pem")
    monkeypatch.setattr(ssl.SSLSocket, "sendall", broken)
    with pytest.raises(PushError, match=REFUSED["no certificate"][2]):
        Pushgateway(secured, "job").push(registry, 10)


def test_a_bearer_token_is_sent_and_not_told(model, data, caplog, port):
    sent = []

    def handler(url, method, timeout, headers, data):
        sent.append(headers)
        headers = [*headers, ("Authorization", "Bearer hunter2")]
        return default_handler(url, method, timeout, headers, data)

    exporter = fit(model, data, f"127.0.0.1:{port}", handler, timeout=1)
    assert sent
    assert "hunter2" not in repr(vars(exporter)) + caplog.text


@given(name=st.text(min_size=1, max_size=50) | st.just("x" * 10_000))
@example("model:weights")
@settings(max_examples=100, deadline=None)
def test_a_metric_of_any_name_makes_no_other_metric_label_or_group(name):
    exporter = TrainTestExporter(None, "job")
    exporter.set_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    exporter.on_train_begin()
    with warnings.catch_warnings(record=True) as refusals:
        warnings.simplefilter("always")  # of names that our own metrics have
        exporter.on_epoch_end(0, {name: np.float32(0.25)})
    families = text_string_to_metric_families(generate_latest(exporter.registry).decode())
    samples = [sample for family in families for sample in family.samples]
    others = {
        *("gangplank_train_epochs_count", "gangplank_train_elapsed_time_seconds"),
        *("gangplank_train_model_parameters_count", "gangplank_train_status"),
    }
    own = [(s.labels, s.value) for s in samples if s.name not in others]
    assert own == ([] if refusals else [({}, 0.25)])
    assert len(samples) == 6 + len(own)


def test_a_metric_of_any_name_arrives(real_gateway):
    names = ['lo"ss', "a\nb", "a\\nb", "{le=}", "ä", "\U0001f600", "\ud800", "x" * 10_000, "#"]
    with Gateway() as embedded:
        for address in (real_gateway, embedded.address):
            exporter = TrainTestExporter(address, "job", ignore_exceptions=False)
            exporter.set_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
            exporter.on_train_begin()
            exporter.on_epoch_end(0, {f"m{i}{name}": float(i) for i, name in enumerate(names)})
            exporter.on_train_end()
            arrived = {
                int(name.removeprefix("gangplank_train_m")[0]): value
                for name, value in metrics_of(address, "job").items()
                if re.match(r"gangplank_train_m\d", name)
            }
            assert arrived == {i: float(i) for i in range(len(names))}
