"""The documents' code for gateways behind a password, a token or a certificate."""

import socket
from functools import partial

import pytest
import trustme
from conftest import PASSWORD_CONFIG, pushgateway
from documents import GATEWAY, blocks, executed, shell
from faulty import answering, serving

((PASSWORD, TOKEN, CERTIFICATE),) = blocks("docs/authentication.md", ["python"])
TLS_CONFIG = "tls_server_config:\n  cert_file: server.pem\n  key_file: server.pem\n"


@pytest.fixture
def run(model, data):
    return partial(executed, model, data)


@pytest.fixture
def certificates(tmp_path, monkeypatch):
    """Files of a CA, a server and a client in a folder, which is the working one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("client")
    server.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assert_pushed(run, code, credentials, address, folder):
    """What the code pushes is there for curl with these credentials."""
    run(code.replace(GATEWAY, address))
    output = shell(f"curl -s --cacert ca.pem {credentials} https://{address}/metrics", folder)
    assert 'gangplank_train_epochs_count{instance="",job="mnist"} 1\n' in output


def test_a_password(run, certificates, monkeypatch):
    (certificates / "web.yml").write_text(PASSWORD_CONFIG + TLS_CONFIG)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    monkeypatch.setenv("GATEWAY_PASSWORD", "open sesame")
    with pushgateway("--web.config.file=web.yml") as address:
        assert_pushed(run, PASSWORD, "-u 'keras:open sesame'", address, certificates)


def test_a_token(run, monkeypatch):
    # The Pushgateway itself knows no tokens; a proxy before it does.
    requests = []

    def speak(connection, end):
        requests.append(connection.recv(1 << 16, socket.MSG_PEEK).decode())
        answering("200 OK")(connection, end)

    monkeypatch.setenv("GATEWAY_TOKEN", "abc")
    with serving(speak, peek=True) as address:
        run(TOKEN.replace(f"https://{GATEWAY}", address))
    pushes = [request for request in requests if request.startswith("POST")]
    assert pushes
    assert all("\r\nAuthorization: Bearer abc\r\n" in push for push in pushes)


def test_a_certificate_of_its_own(run, certificates):
    (certificates / "web.yml").write_text(
        f"{TLS_CONFIG}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n"
    )
    with pushgateway("--web.config.file=web.yml") as address:
        credentials = "--cert client.pem --key client.key"
        assert_pushed(run, CERTIFICATE, credentials, address, certificates)
