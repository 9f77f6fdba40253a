"""The HTTP server of the endpoint: one thread, however many connections."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from pathlib import Path

import uvicorn

from ksmtrace.errors import KsmtraceError
from ksmtrace.plugins.prometheus.access import METRICS, Access, Application
from ksmtrace.plugins.prometheus.web_config import WebConfigFile

LOOPBACK = "127.0.0.1"

_MOST_CONNECTIONS = 512
_BACKLOG = 256
_PATIENCE_SECONDS = 10


class Endpoint:
    """Serves an ASGI application until closed.

    Args:
        listen: as `parse_listen` takes it.
        web_config: the web configuration file, or None.
        application: answers scrapes.

    Attributes:
        address: the host and port listened on.
        url: where metrics are served.

    Raises:
        KsmtraceError: the address or the web configuration cannot be used.
    """

    def __init__(self, listen: str, web_config: Path | None, application: Application) -> None:
        config = WebConfigFile(web_config)
        self._socket = _bind(listen)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._access = Access(application, config)
        settings = uvicorn.Config(
            self._access,
            log_config=None,
            log_level=logging.CRITICAL,
            access_log=False,
            lifespan="off",
            ws="none",
            http="h11",
            loop="asyncio",
            server_header=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_PATIENCE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        settings.load()
        settings.ssl = _renewing(config)
        host, port = self.address
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{'http' if settings.ssl is None else 'https'}://{shown}:{port}{METRICS}"
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(
            target=self._server.run,
            kwargs={"sockets": [self._socket]},
            name="ksmtrace-prometheus",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving, and give the port back."""
        self._server.should_exit = True
        self._thread.join()
        self._access.close()
        self._socket.close()


def parse_listen(listen: str) -> tuple[str, int]:
    """Host and port of "ADDR:PORT", "[V6]:PORT", ":PORT" or "PORT"; the host may be left out.

    Without one it is the IPv4 loopback.

    Raises:
        KsmtraceError: the text has another form, or the port is not 0 to 65535.
    """
    host, _, port = listen.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    plain = host[1:-1] if bracketed else host
    if (
        not (port.isascii() and port.isdecimal() and int(port) <= 65535)
        or (":" in plain) != bracketed
    ):
        raise KsmtraceError(
            f"--listen {listen!r} is no address: give ADDR:PORT, [V6]:PORT or PORT, "
            f"for example {LOOPBACK}:9917"
        )
    return plain or LOOPBACK, int(port)


def _bind(listen: str) -> socket.socket:
    host, port = parse_listen(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except (OSError, ValueError) as error:
        raise KsmtraceError(
            f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}; "
            "give a free port of this host with --listen ADDR:PORT"
        ) from error


def _renewing(config: WebConfigFile) -> ssl.SSLContext | None:
    """A context that has each handshake done by the certificate as it is at that time."""
    first: ssl.SSLContext | None = config.current().tls
    if first is None:
        return None

    def renew(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> int | None:
        try:
            connection.context = config.current().tls or first
        except KsmtraceError:
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        return None

    first.sni_callback = renew
    return first
