"""Sink: serves metrics to Prometheus over HTTP, and writes them to a file for node_exporter."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError
from ksmtrace.lines import say
from ksmtrace.pipeline.metric_names import PUBLISHED, RESTARTS

if TYPE_CHECKING:
    from prometheus_client import ProcessCollector
    from prometheus_client.core import Metric

    from ksmtrace.pipeline.control import RunControl
    from ksmtrace.pipeline.options import RunOptions
    from ksmtrace.pipeline.snapshot import Snapshot
    from ksmtrace.serving.endpoint import Endpoint

TEXTFILE = "ksmtrace.prom"


class Plugin:
    """Publishes the metrics of all plugins: `--listen`, `--web-config` and `--textfile`.

    What is served is finished text, and another process serves it (`endpoint.py`).

    Attributes:
        port: the TCP port listened on, None when not listening.
    """

    def __init__(self) -> None:
        self.port: int | None = None
        self._textfile: Path | None = None
        self._endpoint: Endpoint | None = None
        self._process: ProcessCollector | None = None

    @hookimpl
    def ksmtrace_prepare(self, options: RunOptions) -> None:
        """Start the process that serves, which changes its user.

        Raises:
            KsmtraceError: the address or the web configuration cannot be used.
        """
        if options.listen is not None:
            from prometheus_client import ProcessCollector

            from ksmtrace.serving.access import METRICS
            from ksmtrace.serving.endpoint import Endpoint

            web_config = None if options.web_config is None else Path(options.web_config)
            self._endpoint = Endpoint(options.listen, web_config, METRICS, say)
            self.port = self._endpoint.address[1]
            # served alone: in a text file they would be taken for node_exporter's own
            self._process = ProcessCollector(registry=None)
        elif options.web_config is not None:
            raise KsmtraceError("--web-config says how to serve: give --listen ADDR:PORT as well")

    @hookimpl
    def ksmtrace_session_start(self, options: RunOptions, control: RunControl) -> None:
        """Say where metrics are, and prove that the text file can be written.

        Raises:
            KsmtraceError: the directory cannot be used.
        """
        if options.textfile is not None:
            self._textfile = Path(options.textfile) / TEXTFILE
            self._write_textfile(b"")
        if self._endpoint is not None:
            self._endpoint.watch()
            control.announce(self._endpoint.url)

    @hookimpl
    def ksmtrace_publish(self, snapshot: Snapshot) -> None:
        """Publish the metrics of this moment.

        Raises:
            KsmtraceError: the text file cannot be written any more.
        """
        if self._endpoint is None and self._textfile is None:
            return
        from ksmtrace.pipeline.exposition import EOF, exposition_of

        restarts = None if self._endpoint is None else self._endpoint.restarts
        found = snapshot.exposition + exposition_of(*own_metrics(restarts))
        self._write_textfile(found.text)
        if self._endpoint is not None and self._process is not None:
            from ksmtrace.serving.pages import Pages

            found += exposition_of(*self._process.collect())
            self._endpoint.publish(Pages(found.text, found.openmetrics + EOF))

    @hookimpl
    def ksmtrace_session_finish(self) -> None:
        """Close the port; the text file stays, and its age shows that the run is over."""
        if self._endpoint is not None:
            self._endpoint.close()
        self._endpoint = self.port = None

    def _write_textfile(self, text: bytes) -> None:
        if self._textfile is None:
            return
        try:
            _replace(self._textfile, text)
        except OSError as error:
            raise KsmtraceError(
                f"cannot write {self._textfile}: {error.strerror or error}; "
                "give a directory that exists and can be written with --textfile DIR"
            ) from error


def own_metrics(restarts: int | None) -> Iterator[Metric]:
    """This sink's own families: when the figures were made, and how serving fares.

    Args:
        restarts: of the process that serves; None where nothing is served.
    """
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield GaugeMetricFamily(
        PUBLISHED,
        "When these figures were made; a scrape reads the last ones. "
        "Older than a few --interval: the run hangs, or is over.",
        time.time(),
    )
    if restarts is not None:
        yield CounterMetricFamily(
            RESTARTS,
            "How often the process that serves these figures ended and was started again. If it "
            "grows: look who connects to the port, and at the kernel's log for want of memory.",
            restarts,
        )


def _replace(path: Path, text: bytes) -> None:
    """Have the file hold this text, at once for who reads it."""
    made = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW)
        with open(descriptor, "wb") as file:
            # for node_exporter, which is another user, whatever the mask of a service is
            os.fchmod(descriptor, 0o644)
            file.write(text)
        made.replace(path)
    except BaseException:
        with suppress(OSError):
            made.unlink()
        raise
