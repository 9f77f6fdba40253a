"""TLS settings as plain values, and the context that serves by them."""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ksmtrace.serving.channel import sealed

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}


@dataclass(frozen=True, slots=True)
class Tls:
    """How to serve TLS.

    Attributes:
        cert, key, client_ca: the content of the files, PEM; `client_ca` may be empty.
        client_auth: a key of `CLIENT_AUTH`.
        min_version, max_version: keys of `VERSIONS`.
    """

    cert: str
    key: str
    client_ca: str
    client_auth: str
    min_version: str
    max_version: str


def context_of(tls: Tls) -> ssl.SSLContext:
    """A context for a server.

    Raises:
        OSError, ValueError: the certificate, its key or the CA cannot be used (ssl.SSLError is an
            OSError), or the key has a pass phrase, for which nobody is asked.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS10 and TLS11 are asked for
        context.minimum_version = VERSIONS[tls.min_version]
        context.maximum_version = VERSIONS[tls.max_version]
    with _path(tls.cert) as cert, _path(tls.key) as key:
        context.load_cert_chain(cert, key, password=_no_pass_phrase)
    if tls.client_ca:
        context.load_verify_locations(cadata=tls.client_ca)
    context.verify_mode = CLIENT_AUTH[tls.client_auth]
    return context


@contextmanager
def _path(text: str) -> Iterator[str]:
    """A path at which OpenSSL, which takes no bytes, finds a text that is on no disk."""
    descriptor = sealed(text.encode())
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _no_pass_phrase() -> str:
    raise ValueError("the key has a pass phrase: give one without")
