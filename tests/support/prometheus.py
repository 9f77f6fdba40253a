"""Starts a real Prometheus, queries it and ends it."""

import json
import math
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from conftest import cannot

_CONFIG = """
global: {{ scrape_interval: {interval}, evaluation_interval: {interval} }}
rule_files: {rules}
scrape_configs:
  - job_name: ksmtrace
    static_configs: [ {{ targets: ["127.0.0.1:{port}"] }} ]
"""


def need_prometheus(request: pytest.FixtureRequest, program: str = "prometheus") -> None:
    """Skip, or fail with --require-live, where Debian's package is missing."""
    if shutil.which(program) is None:
        cannot(request, "--require-live", "needs Debian's prometheus (make test installs it)")


def free_port() -> int:
    """A TCP port of the loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url: str) -> str:
    """The text at `url`."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def until(what: Callable[[], Any], patience: float = 60.0) -> Any:
    """The first answer of `what` that is true; it may fail while a server comes up."""
    deadline = time.monotonic() + patience
    while True:
        try:
            found = what()
        except (OSError, ValueError):
            found = None
        if found:
            return found
        assert time.monotonic() < deadline, "the server did not answer in time"
        time.sleep(0.2)


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that is ended with the context; its output is discarded."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            yield process
        finally:
            process.terminate()


class Prometheus:
    """The HTTP API of a server on the loopback."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        """Whether it answers questions."""
        return "ready" in fetch(f"{self._url}/-/ready").lower()

    def api(self, path: str, **asked: object) -> Any:
        """What `/api/v1/PATH` answers."""
        return json.loads(fetch(f"{self._url}/api/v1/{path}?{urlencode(asked)}"))["data"]

    def instant(self, expression: str, at: float | None = None) -> list[dict]:
        """The series of an instant query, now or at so many seconds since 1970."""
        when = {} if at is None else {"time": at}
        return self.api("query", query=expression, **when)["result"]

    def values(self, expression: str, at: float | None = None) -> list[float]:
        """Numbers that an expression has; NaN is none: a quantile of nothing."""
        found = (float(series["value"][1]) for series in self.instant(expression, at))
        return [value for value in found if not math.isnan(value)]

    def range(self, expression: str, start: float, end: float, step: float) -> list[dict]:
        """The series of a range query, seconds since 1970."""
        asked = {"query": expression, "start": start, "end": end, "step": step}
        return self.api("query_range", **asked)["result"]


@contextmanager
def prometheus(
    directory: Path, target: int, *, interval: str = "1s", rules: list[Path] | None = None
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `target`, a port, as job ksmtrace; its files are in `directory`."""
    named = json.dumps([str(path) for path in rules or ()])
    config = _CONFIG.format(interval=interval, rules=named, port=target)
    (directory / "prometheus.yml").write_text(config)
    port = free_port()
    with running(
        *("prometheus", f"--config.file={directory}/prometheus.yml"),
        *(f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"),
    ):
        server = Prometheus(port)
        until(server.ready)
        yield server
