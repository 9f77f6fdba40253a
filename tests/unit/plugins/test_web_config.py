"""The web configuration file: what it may hold, what not, and that a change counts at once."""

import os

import bcrypt
import pytest
import trustme

from ksmtrace.errors import KsmtraceError
from ksmtrace.plugins.prometheus.web_config import WebConfigFile

HASH = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()


@pytest.fixture
def write(tmp_path):
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    path = tmp_path / "web.yml"

    def to(text):
        path.write_text(text)
        return path

    return to


def test_without_a_file_everybody_gets_plain_http():
    config = WebConfigFile(None).current()
    assert (config.tls, dict(config.users), dict(config.headers)) == (None, {}, {})


def test_everything_at_once(write):
    config = WebConfigFile(
        write(
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS13}\n"
            f"basic_auth_users: {{prometheus: '{HASH}'}}\n"
            "http_server_config: {http2: true, headers: {X-Frame-Options: deny}}\n"
        )
    ).current()
    assert config.tls is not None
    assert config.tls.minimum_version.name == "TLSv1_3"
    assert config.users == {"prometheus": HASH}
    assert config.headers == {"X-Frame-Options": "deny"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        ("- a", "must hold names and values"),
        ("tls_server_config: {cert_file: cert.pem}", "needs cert_file and key_file"),
        ("tls_server_config: {cert_file: none.pem, key_file: key.pem}", "cannot be used"),
        ("tls_server_config: {cert_file: key.pem, key_file: key.pem}", "cannot be used"),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, cipher_suites: [a]}",
            "cipher_suites, which ksmtrace does not do",
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: SSL3}",
            "SSL3 is not one of TLS10",
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, "
            "client_auth_type: RequireAndVerifyClientCert}",
            "needs a client_ca_file",
        ),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: Maybe}",
            "Maybe is not one of NoClientCert",
        ),
        ("basic_auth_users: {a: secret}", "no bcrypt hash"),
        ("basic_auth_users: {a: 5}", "no bcrypt hash"),
        ("basic_auth_users: [a]", "must hold names and values"),
        ("users: {}", "holds users, which ksmtrace does not do"),
        ("http_server_config: {headers: {Server: x}}", "holds Server"),
    ],
)
def test_what_it_may_not_hold(write, text, message):
    with pytest.raises(KsmtraceError, match="web") as error:
        WebConfigFile(write(text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(KsmtraceError, match="--web-config"):
        WebConfigFile(tmp_path / "none.yml")


def test_a_change_counts_at_once_and_a_bad_one_is_reported_until_it_is_mended(write):
    path = write("")
    file = WebConfigFile(path)
    assert not file.current().users
    write(f"basic_auth_users: {{a: '{HASH}'}}")
    os.utime(path, ns=(1, 1))
    assert set(file.current().users) == {"a"}
    write("basic_auth_users: {a: b}")
    os.utime(path, ns=(2, 2))
    for _ in range(2):
        with pytest.raises(KsmtraceError):
            file.current()
    write("")
    os.utime(path, ns=(3, 3))
    assert not file.current().users


def test_a_new_certificate_counts_at_once(write, tmp_path):
    file = WebConfigFile(write("tls_server_config: {cert_file: cert.pem, key_file: key.pem}"))
    before = file.current().tls
    assert file.current().tls is before
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    assert file.current().tls is not before
