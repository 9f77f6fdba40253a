"""Sink: serves metrics to Prometheus over HTTP, and writes them for node_exporter's textfile collector."""

from __future__ import annotations

import socket
import threading
from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, make_wsgi_app, write_to_textfile
from prometheus_client.core import Metric
from prometheus_client.exposition import ThreadingWSGIServer

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError

if TYPE_CHECKING:
    from ksmtrace.pipeline.snapshot import Snapshot

TEXTFILE = "ksmtrace.prom"
LOOPBACK = "127.0.0.1"


class Plugin:
    """Publishes the metrics of all plugins: `--listen ADDR:PORT`, `--textfile DIR`.

    The server's threads see only a finished tuple of metrics; hooks are called by the run's thread alone.

    Attributes:
        port: the TCP port listened on, None when not listening.
    """

    def __init__(self) -> None:
        self.port: int | None = None
        self._published: tuple[Metric, ...] = ()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._textfile: Path | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def collect(self) -> Iterable[Metric]:
        """The metrics published last, for prometheus_client."""
        return self._published

    @hookimpl
    def ksmtrace_session_start(self, options: Namespace) -> None:
        """Start serving, and prove that the text file can be written.

        Raises:
            KsmtraceError: the address or the directory cannot be used.
        """
        directory = getattr(options, "textfile", None)
        if directory is not None:
            self._textfile = Path(directory) / TEXTFILE
            self._write_textfile()
        listen = getattr(options, "listen", None)
        if listen is not None:
            self._serve(listen)

    @hookimpl
    def ksmtrace_publish(self, snapshot: Snapshot) -> None:
        """Hand over the metrics as they stand.

        Raises:
            KsmtraceError: the text file cannot be written any more.
        """
        if self._server is None and self._textfile is None:
            return
        self._published = snapshot.metrics
        self._write_textfile()

    @hookimpl
    def ksmtrace_session_finish(self) -> None:
        """Close the port; the text file stays, its age tells that the run is over."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._thread is not None:
            self._thread.join()
        self._server = self._thread = self.port = None

    def _serve(self, listen: str) -> None:
        host, port = parse_listen(listen)
        try:
            self._server = _Server(host, port)
        except (OSError, ValueError) as error:
            raise KsmtraceError(
                f"cannot listen on {listen}: {getattr(error, 'strerror', None) or error}; "
                "give a free port of this host with --listen ADDR:PORT"
            ) from error
        self._server.set_app(_application(self._registry))
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="ksmtrace-prometheus",
            daemon=True,
        )
        self._thread.start()

    def _write_textfile(self) -> None:
        if self._textfile is None:
            return
        try:
            write_to_textfile(str(self._textfile), self._registry)
        except OSError as error:
            raise KsmtraceError(
                f"cannot write {self._textfile}: {error.strerror or error}; "
                "give a directory that exists and can be written with --textfile DIR"
            ) from error


def parse_listen(listen: str) -> tuple[str, int]:
    """Host and port of "ADDR:PORT", "[V6]:PORT", ":PORT" or "PORT"; without ADDR it is the loopback.

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
            f"--listen {listen!r} is no address: give ADDR:PORT, [V6]:PORT or PORT, for example {LOOPBACK}:9477"
        )
    return plain or LOOPBACK, int(port)


class _Server(ThreadingWSGIServer):
    """prometheus_client's server, for either address family."""

    def __init__(self, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would ask DNS for the name of the address, and may wait long for it.
        TCPServer.server_bind(self)
        self.server_name = str(self.server_address[0])
        self.server_port = int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as in socketserver
        """Keep quiet: a client that hangs up is its own business, and the terminal may show the screen."""


class _Handler(WSGIRequestHandler):
    """Logs nothing, and does not wait for ever for a silent client."""

    timeout = 10

    def log_message(self, format: str, *args: Any) -> None:  # noqa: ANN401 - as in http.server
        """Log nothing."""


def _application(registry: CollectorRegistry) -> Callable[..., list[bytes]]:
    metrics = make_wsgi_app(registry)

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        path = environ["PATH_INFO"]
        status, text = "404 Not Found", "metrics are at /metrics\n"
        if path == "/-/healthy":
            status, text = "200 OK", "ksmtrace is running\n"
        elif path == "/metrics":
            try:
                body: list[bytes] = metrics(environ, start_response)
            except Exception as error:  # noqa: BLE001 - a plugin of another package may hand over anything
                status = "500 Internal Server Error"
                text = f"a plugin's metrics cannot be shown: {error.args[0] if error.args else error!r}\n"
            else:
                return body
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text.encode()]

    return application
