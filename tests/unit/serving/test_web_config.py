"""The web configuration file: what it may hold, what not, and that a change counts at once."""

import os

import bcrypt
import pytest
import trustme
import yaml
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.errors import KsmtraceError
from ksmtrace.serving.tls import context_of
from ksmtrace.serving.web_config import (
    MOST_BYTES,
    WebConfigFile,
    handed_over,
    taken_over,
)

HASH = bcrypt.hashpw(b"secret", b"$2b$04$abcdefghijklmnopqrstuu").decode()


@pytest.fixture
def write(tmp_path):
    issued = trustme.CA().issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    os.mkfifo(tmp_path / "pipe")
    locked = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    (tmp_path / "locked.pem").write_bytes(locked)
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
    assert context_of(config.tls).minimum_version.name == "TLSv1_3"
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
        ("2001-13-45", "must hold names and values"),
        ("basic_auth_users: {a: 2001-13-45}", "no bcrypt hash"),
        ("basic_auth_users: {2001-13-45: 2001-12-14t21:59:43.10-99:99}", "no bcrypt hash"),
        ("basic_auth_users: {a: !!timestamp x}", "no bcrypt hash"),
        (f"basic_auth_users: {{a: '{HASH}', a: '{HASH}'}}", "is in it twice"),
        (f"basic_auth_users: {{'a:b': '{HASH}'}}", "no colon"),
        (f"basic_auth_users: {{'': '{HASH}'}}", "no client can send"),
        (f"basic_auth_users: {{\"a\\eb\": '{HASH}'}}", "nothing unprintable"),
        (f"basic_auth_users: {{a: '$2y$31{HASH[6:]}'}}", "cost 31, which is not 4 to 15"),
        (f"basic_auth_users: {{a: '$2y$00{HASH[6:]}'}}", "cost 0, which is not 4 to 15"),
        (
            'http_server_config: {headers: {X-Frame-Options: "a\\r\\nSet-Cookie: b"}}',
            "no printable",
        ),
        ('http_server_config: {headers: {X-Frame-Options: "a\\0"}}', "no printable"),
        ("http_server_config: {headers: {X-Frame-Options: ü}}", "is not ASCII"),
        ("http_server_config: {headers: {X-Frame-Options: [deny]}}", "no printable"),
        ("http_server_config: {headers: {X-Frame-Options: }}", "no printable"),
        (f"http_server_config: {{headers: {{X-Frame-Options: {'a' * 5000}}}}}", "at most 4096"),
        ("http_server_config: {http2: 2}", "http2 is not true or false"),
        ("? [a]\n: b", "a name in it is no text"),
        ("a: &a {b: *a}", "nested too deeply"),
        ("[" * 3000, "nested too deeply"),
        ("a: !!python/object/apply:os.system [id]", "holds a, which"),
        ("a: *b", "is no YAML"),
        ("#" * MOST_BYTES + "##", "more than"),
        (
            "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS13, "
            "max_version: TLS12}",
            "min_version TLS13 is above max_version TLS12",
        ),
        ("tls_server_config: {cert_file: [cert.pem], key_file: key.pem}", "no printable text"),
        ("tls_server_config: {cert_file: ., key_file: key.pem}", "no regular file"),
        ("tls_server_config: {cert_file: cert.pem, key_file: pipe}", "no regular file"),
        ("tls_server_config: {cert_file: cert.pem, key_file: locked.pem}", "has a pass phrase"),
    ],
)
def test_what_it_may_not_hold(write, text, message):
    with pytest.raises(KsmtraceError, match="web") as error:
        WebConfigFile(write(text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


ODD = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(), st.floats(), st.dates(), st.none(), st.binary()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
SECTIONS = ("tls_server_config", "basic_auth_users", "http_server_config", "headers", "cert_file")


@given(st.dictionaries(st.sampled_from(SECTIONS), ODD), st.binary(max_size=60))
@settings(max_examples=300)
def test_whatever_it_holds_it_is_taken_or_refused_in_a_line(tmp_path_factory, content, raw):
    folder = tmp_path_factory.mktemp("odd")
    for number, text in enumerate((yaml.dump(content, allow_unicode=True).encode(), raw)):
        path = folder / f"{number}.yml"
        path.write_bytes(text)
        try:
            config = WebConfigFile(path).current()
        except KsmtraceError:
            continue
        assert taken_over(handed_over(config, "x")) == (config, "x")


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
