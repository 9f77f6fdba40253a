"""Sink: serves metrics to Prometheus over HTTP, and writes them to a file for node_exporter."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, make_asgi_app, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, Metric

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError
from ksmtrace.pipeline.metric_names import PUBLISHED

if TYPE_CHECKING:
    from ksmtrace.pipeline.control import RunControl
    from ksmtrace.pipeline.options import RunOptions
    from ksmtrace.pipeline.snapshot import Snapshot
    from ksmtrace.plugins.prometheus.endpoint import Endpoint

TEXTFILE = "ksmtrace.prom"


class Plugin:
    """Publishes the metrics of all plugins: `--listen`, `--web-config` and `--textfile`.

    The server's thread sees only a finished tuple of metrics; hooks are called by the run's thread
    alone.

    Attributes:
        port: the TCP port listened on, None when not listening.
    """

    def __init__(self) -> None:
        self.port: int | None = None
        self._published: tuple[Metric, ...] = ()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._textfile: Path | None = None
        self._endpoint: Endpoint | None = None

    def collect(self) -> Iterable[Metric]:
        """The metrics published last, for prometheus_client."""
        return self._published

    @hookimpl
    def ksmtrace_session_start(self, options: RunOptions, control: RunControl) -> None:
        """Start serving, and prove that the text file can be written.

        Raises:
            KsmtraceError: the address or the directory cannot be used.
        """
        if options.textfile is not None:
            self._textfile = Path(options.textfile) / TEXTFILE
            self._write_textfile()
        if options.listen is not None:
            from ksmtrace.plugins.prometheus.endpoint import Endpoint

            web_config = None if options.web_config is None else Path(options.web_config)
            self._endpoint = Endpoint(options.listen, web_config, make_asgi_app(self._registry))
            self.port = self._endpoint.address[1]
            control.announce(self._endpoint.url)
        elif options.web_config is not None:
            raise KsmtraceError("--web-config says how to serve: give --listen ADDR:PORT as well")

    @hookimpl
    def ksmtrace_publish(self, snapshot: Snapshot) -> None:
        """Publish the metrics of this moment.

        Raises:
            KsmtraceError: the text file cannot be written any more.
        """
        if self._endpoint is None and self._textfile is None:
            return
        self._published = (*snapshot.metrics, published())
        self._write_textfile()

    @hookimpl
    def ksmtrace_session_finish(self) -> None:
        """Close the port; the text file stays, and its age shows that the run is over."""
        if self._endpoint is not None:
            self._endpoint.close()
        self._endpoint = self.port = None

    def _write_textfile(self) -> None:
        if self._textfile is None:
            return
        # for node_exporter, which is another user, whatever the mask of a service is
        mask = os.umask(0o022)
        try:
            write_to_textfile(str(self._textfile), self._registry)
        except OSError as error:
            raise KsmtraceError(
                f"cannot write {self._textfile}: {error.strerror or error}; "
                "give a directory that exists and can be written with --textfile DIR"
            ) from error
        finally:
            os.umask(mask)


def published() -> Metric:
    """When the figures were made: this sink's own metric."""
    return GaugeMetricFamily(
        PUBLISHED,
        "When these figures were made; a scrape reads the last ones. "
        "Older than a few --interval: the run hangs, or is over.",
        time.time(),
    )
