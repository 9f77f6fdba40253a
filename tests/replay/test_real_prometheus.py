"""A real Prometheus scrapes a replay, and sees what the endpoint says; promtool finds nothing to blame."""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from conftest import cannot
from support.command import KSMTRACE
from support.exposition import samples

CONFIG = """
global: {{ scrape_interval: 1s }}
scrape_configs:
  - job_name: ksmtrace
    static_configs: [ {{ targets: ["127.0.0.1:{port}"] }} ]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def until(what, patience=60.0):
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
def running(*command):
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture
def serving(bundled_capture):
    """Address of a replay that has ended and goes on serving."""
    port = free_port()
    command = [KSMTRACE, "replay", str(bundled_capture), "--json", "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert "still serving" in run.stderr.readline()
        yield port
        run.terminate()
        out, _ = run.communicate(timeout=30)
        assert run.returncode == 0
        assert json.loads(out)["source"] == "capture"


def test_prometheus_sees_what_the_replay_says(request, serving, tmp_path):
    if shutil.which("prometheus") is None:
        cannot(request, "--require-live", "needs Debian's prometheus (make test installs it)")
    exposed = samples(fetch(f"http://127.0.0.1:{serving}/metrics"))
    (tmp_path / "prometheus.yml").write_text(CONFIG.format(port=serving))
    port = free_port()
    with running(
        "prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ):  # fmt: skip
        query = f"http://127.0.0.1:{port}/api/v1/query?query=" + quote('{__name__=~"ksmtrace_.*"}')
        answer = until(lambda: json.loads(fetch(query))["data"]["result"])
    seen = {}
    for series in answer:
        labels = series["metric"]
        key = (labels.pop("__name__"), *sorted(labels.items()))
        seen[tuple(k for k in key if k not in {("job", "ksmtrace"), ("instance", f"127.0.0.1:{serving}")})] = (
            float(series["value"][1])
        )  # fmt: skip
    # a label that is empty is none to Prometheus
    exposed = {tuple(k for k in key if k[1:] != ("",)): value for key, value in exposed.items()}
    assert {key: seen.get(key) for key in exposed} == exposed
    assert len(exposed) > 50


def test_promtool_has_nothing_to_say(request, serving):
    if shutil.which("promtool") is None:
        cannot(request, "--require-live", "needs promtool (make test installs prometheus)")
    ran = subprocess.run(
        ["promtool", "check", "metrics"],
        input=fetch(f"http://127.0.0.1:{serving}/metrics"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_health(serving):
    assert fetch(f"http://127.0.0.1:{serving}/-/healthy")
