"""The web configuration file that the Prometheus project's exporters share.

It holds TLS settings, users for basic authentication, and headers. It is read by the tracer, which
may read keys that only root may; what serves gets the content (`handed_over`) and no files.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ksmtrace.errors import KsmtraceError
from ksmtrace.serving.tls import CLIENT_AUTH, VERSIONS, Tls, context_of

MOST_BYTES = 1 << 20
"""Of the file, and of each that it names."""

COSTS = range(4, 16)
"""Costs of bcrypt: less than 4 there is none; 15 takes seconds for each password, 31 a day."""

_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_DEEPEST = 5
_LONGEST_TEXT = 4096

_HEADERS = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
_FILES = ("cert_file", "key_file", "client_ca_file")
_TLS_KEYS = (*_FILES, "client_auth_type", "min_version", "max_version")

Fail = Callable[[str], KsmtraceError]


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The content of the file, checked.

    Attributes:
        tls: how to serve TLS, None for plain HTTP.
        users: bcrypt hash of the password by user; empty when everybody may scrape.
        headers: headers of every answer.
    """

    tls: Tls | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def handed_over(config: WebConfig, trouble: str) -> bytes:
    """A configuration as a message, and why every scrape is answered with 500, or ""."""
    return json.dumps([asdict(config), trouble]).encode()


def taken_over(message: bytes) -> tuple[WebConfig, str]:
    """The inverse of `handed_over`."""
    config, trouble = json.loads(message)
    tls = None if config["tls"] is None else Tls(**config["tls"])
    return WebConfig(tls, config["users"], config["headers"]), trouble


class WebConfigFile:
    """The file, read again whenever it, or a file that it names, has changed.

    Args:
        path: the file; None for plain HTTP for everybody.

    Attributes:
        last: the configuration that was good last.

    Raises:
        KsmtraceError: it cannot be read, or asks for what this endpoint cannot do.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._watched: list[Path] = [] if path is None else [path]
        self._seen: list[tuple[int, ...] | None] = []
        self._trouble: KsmtraceError | None = None
        self.last = WebConfig()
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
                self._read(self._path)
        if self._trouble is not None:
            raise self._trouble
        return self.last

    def _read(self, path: Path) -> None:
        watched = [path]
        # taken before reading: what changes meanwhile is read again
        self._seen = [_stamp(path)]
        try:
            config = _load(path, watched)
        except KsmtraceError as error:
            self._trouble = error
        else:
            self._trouble, self.last = None, config
        self._seen += [_stamp(each) for each in watched[1:]]
        self._watched = watched


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode


def _load(path: Path, watched: list[Path]) -> WebConfig:
    """The configuration; the files that it names are added to `watched`."""
    try:
        text = _text(path)
    except OSError as error:
        raise KsmtraceError(
            f"cannot read {path}: {error.strerror or error}; name the file with --web-config FILE"
        ) from error
    except UnicodeDecodeError as error:
        raise KsmtraceError(f"{path} is no YAML: {error}") from error
    fail = _failing(path)
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise KsmtraceError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise KsmtraceError(f"{path} is nested too deeply") from error
    parts = _mapping(_plain(node, fail), "the file", fail)
    known = {"tls_server_config", "basic_auth_users", "http_server_config"}
    _only(parts, known, "the file", fail)
    http = _mapping(parts.get("http_server_config"), "http_server_config", fail)
    _only(http, {"headers", "http2"}, "http_server_config", fail)
    if http.get("http2") not in (None, "true", "false"):
        raise fail("http2 is not true or false")
    tls = _mapping(parts.get("tls_server_config"), "tls_server_config", fail)
    return WebConfig(
        _tls(tls, path, watched, fail),
        _users(_mapping(parts.get("basic_auth_users"), "basic_auth_users", fail), fail),
        _headers(_mapping(http.get("headers"), "headers", fail), fail),
    )


def _text(path: Path) -> str:
    """The text of a file that is one, and small.

    Raises:
        OSError, UnicodeDecodeError: it cannot be had.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {MOST_BYTES} bytes")
    return content.decode()


def _plain(node: yaml.Node | None, fail: Fail, depth: int = 0) -> object:
    """Texts, lists and dictionaries of a document; no scalar is made a number or a date."""
    if depth > _DEEPEST:
        raise fail("it is nested too deeply")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, object] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise fail("a name in it is no text")
            if key.value in found:
                raise fail(f"{key.value!r} is in it twice")
            found[key.value] = _plain(value, fail, depth + 1)
        return found
    if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null":
        return str(node.value)
    return [] if isinstance(node, yaml.SequenceNode) else None


def _users(users: Mapping[str, Any], fail: Fail) -> dict[str, str]:
    for user, hashed in users.items():
        if not user or ":" in user or not user.isprintable():
            raise fail(f"no client can send the user {user!r}: no colon, and nothing unprintable")
        found = isinstance(hashed, str) and _BCRYPT.fullmatch(hashed)
        if not found:
            raise fail(
                f"the password of {user!r} is no bcrypt hash: make one with `htpasswd -nBC 10 ''`"
            )
        if int(found[1]) not in COSTS:
            raise fail(
                f"the hash of {user!r} has cost {int(found[1])}, which is not {COSTS[0]} to "
                f"{COSTS[-1]}: make one with `htpasswd -nBC 10 ''`"
            )
    return dict(users)


def _headers(headers: Mapping[str, Any], fail: Fail) -> dict[str, str]:
    _only(headers, set(_HEADERS), "headers", fail)
    for name, value in headers.items():
        if not _string(value, f"the header {name}", fail).isascii():
            raise fail(f"the header {name} is not ASCII")
    return dict(headers)


def _tls(given: Mapping[str, Any], path: Path, watched: list[Path], fail: Fail) -> Tls | None:
    if not given:
        return None
    _only(given, set(_TLS_KEYS), "tls_server_config", fail)
    texts = {key: _string(value, key, fail) for key, value in given.items() if value is not None}
    files = {key: path.parent / texts[key] for key in _FILES if texts.get(key)}
    watched += files.values()
    if "cert_file" not in files or "key_file" not in files:
        raise fail("tls_server_config needs cert_file and key_file")
    wanted = _choice(texts, "client_auth_type", "NoClientCert", CLIENT_AUTH, fail)
    if wanted != "NoClientCert" and "client_ca_file" not in files:
        raise fail(f"client_auth_type {wanted} needs a client_ca_file")
    least = _choice(texts, "min_version", "TLS12", VERSIONS, fail)
    most = _choice(texts, "max_version", "TLS13", VERSIONS, fail)
    if VERSIONS[least] > VERSIONS[most]:
        raise fail(f"min_version {least} is above max_version {most}")
    read = {}
    for key, file in files.items():
        try:
            read[key] = _text(file)
            read[key].encode("ascii")  # as PEM is
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise fail(f"{key} {file} cannot be used: {why}") from error
    tls = Tls(
        read["cert_file"], read["key_file"], read.get("client_ca_file", ""), wanted, least, most
    )
    try:
        context_of(tls)
    except (OSError, ValueError) as error:
        raise fail(f"the certificate, its key or the CA cannot be used: {error}") from error
    return tls


def _choice(
    texts: Mapping[str, str], key: str, default: str, known: Mapping[str, object], fail: Fail
) -> str:
    name = texts.get(key) or default
    if name not in known:
        raise fail(f"{key} {name} is not one of {', '.join(known)}")
    return name


def _string(value: object, where: str, fail: Fail) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT or not value.isprintable():
        raise fail(f"{where} is no printable text of at most {_LONGEST_TEXT} characters")
    return value


def _mapping(value: object, where: str, fail: Fail) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise fail(f"{where} must hold names and values")
    return value


def _only(given: Mapping[str, Any], known: set[str], where: str, fail: Fail) -> None:
    for key in given:
        if key not in known:
            raise fail(
                f"{where} holds {key}, which ksmtrace does not do: "
                f"take it out (known: {', '.join(sorted(known))})"
            )


def _failing(path: Path) -> Fail:
    return lambda what: KsmtraceError(f"web configuration {path}: {what}")
