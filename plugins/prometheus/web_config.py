"""The web configuration file that the Prometheus project's exporters share.

It holds TLS settings, users for basic authentication, and headers.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ksmtrace.errors import KsmtraceError

_BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_CLIENT_AUTH = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_HEADERS = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
_TLS_KEYS = (
    "cert_file",
    "key_file",
    "client_ca_file",
    "client_auth_type",
    "min_version",
    "max_version",
)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The content of the file, checked.

    Attributes:
        tls: how to serve TLS, None for plain HTTP.
        users: bcrypt hash of the password by user; empty when everybody may scrape.
        headers: headers of every answer.
    """

    tls: ssl.SSLContext | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class WebConfigFile:
    """The file, read again whenever it, or a file that it names, has changed.

    Args:
        path: the file; None for plain HTTP for everybody.

    Raises:
        KsmtraceError: it cannot be read, or asks for what this endpoint cannot do.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._watched: list[Path] = [] if path is None else [path]
        self._seen: list[tuple[int, int] | None] = []
        self._config = WebConfig()
        if path is not None:
            self.current()

    def current(self) -> WebConfig:
        """The configuration to serve by.

        Raises:
            KsmtraceError: the file has changed, and is no good.
        """
        if self._path is not None:
            stamps = [_stamp(path) for path in self._watched]
            if stamps != self._seen:
                self._config, self._watched = _load(self._path)
                self._seen = [_stamp(path) for path in self._watched]
        return self._config


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def _load(path: Path) -> tuple[WebConfig, list[Path]]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise KsmtraceError(
            f"cannot read {path}: {error.strerror or error}; name the file with --web-config FILE"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise KsmtraceError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    fail = _failing(path)
    parts = _mapping(content, "the file", fail)
    known = {"tls_server_config", "basic_auth_users", "http_server_config"}
    _only(parts, known, "the file", fail)
    tls, files = _tls(
        _mapping(parts.get("tls_server_config"), "tls_server_config", fail), path, fail
    )
    http = _mapping(parts.get("http_server_config"), "http_server_config", fail)
    _only(http, {"headers", "http2"}, "http_server_config", fail)
    headers = _mapping(http.get("headers"), "headers", fail)
    _only(headers, set(_HEADERS), "headers", fail)
    config = WebConfig(
        tls,
        _users(_mapping(parts.get("basic_auth_users"), "basic_auth_users", fail), fail),
        {name: str(value) for name, value in headers.items()},
    )
    return config, [path, *files]


def _users(users: Mapping[str, Any], fail: Callable[[str], KsmtraceError]) -> dict[str, str]:
    for user, hashed in users.items():
        if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            raise fail(
                f"the password of {user!r} is no bcrypt hash: make one with `htpasswd -nBC 10 ''`"
            )
    return {str(user): str(hashed) for user, hashed in users.items()}


def _tls(
    given: Mapping[str, Any], path: Path, fail: Callable[[str], KsmtraceError]
) -> tuple[ssl.SSLContext | None, list[Path]]:
    if not given:
        return None, []
    _only(given, set(_TLS_KEYS), "tls_server_config", fail)
    files = {
        key: path.parent / str(given[key])
        for key in ("cert_file", "key_file", "client_ca_file")
        if given.get(key)
    }
    if "cert_file" not in files or "key_file" not in files:
        raise fail("tls_server_config needs cert_file and key_file")
    wanted = str(given.get("client_auth_type") or "NoClientCert")
    if wanted not in _CLIENT_AUTH:
        raise fail(f"client_auth_type {wanted} is not one of {', '.join(_CLIENT_AUTH)}")
    if _CLIENT_AUTH[wanted] is not ssl.CERT_NONE and "client_ca_file" not in files:
        raise fail(f"client_auth_type {wanted} needs a client_ca_file")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _version(given.get("min_version"), "TLS12", fail)
    context.maximum_version = _version(given.get("max_version"), "TLS13", fail)
    try:
        context.load_cert_chain(files["cert_file"], files["key_file"])
        if "client_ca_file" in files:
            context.load_verify_locations(files["client_ca_file"])
    except (OSError, ssl.SSLError) as error:
        raise fail(f"the certificate, its key or the CA cannot be used: {error}") from error
    context.verify_mode = _CLIENT_AUTH[wanted]
    return context, list(files.values())


def _version(given: object, default: str, fail: Callable[[str], KsmtraceError]) -> ssl.TLSVersion:
    name = str(given or default)
    if name not in _VERSIONS:
        raise fail(f"TLS version {name} is not one of {', '.join(_VERSIONS)}")
    return _VERSIONS[name]


def _mapping(value: object, where: str, fail: Callable[[str], KsmtraceError]) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise fail(f"{where} must hold names and values")
    return value


def _only(
    given: Mapping[str, Any], known: set[str], where: str, fail: Callable[[str], KsmtraceError]
) -> None:
    for key in given:
        if key not in known:
            raise fail(
                f"{where} holds {key}, which ksmtrace does not do: "
                f"take it out (known: {', '.join(sorted(known))})"
            )


def _failing(path: Path) -> Callable[[str], KsmtraceError]:
    return lambda what: KsmtraceError(f"web configuration {path}: {what}")
