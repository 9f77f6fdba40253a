"""A real Prometheus scrapes a replay and has the document's figures; promtool has no complaint."""

import json
import subprocess

import pytest

from support.command import KSMTRACE
from support.document_series import ONLY_SERVED, figure_of
from support.exposition import samples
from support.prometheus import fetch, free_port, need_prometheus, prometheus, until


class Replay:
    """A replay that has ended and goes on serving."""

    def __init__(self, capture):
        self.port = free_port()
        command = [KSMTRACE, "replay", str(capture), "--json", "--listen", f"127.0.0.1:{self.port}"]
        pipe = subprocess.PIPE
        self.run = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        assert "still serving" in self.run.stderr.readline()

    def metrics(self):
        return fetch(f"http://127.0.0.1:{self.port}/metrics")

    def document(self):
        """What it prints once it is ended."""
        self.run.terminate()
        out, _ = self.run.communicate(timeout=30)
        assert self.run.returncode == 0
        return json.loads(out)


@pytest.fixture
def serving(bundled_capture):
    replay = Replay(bundled_capture)
    yield replay
    if replay.run.poll() is None:
        assert replay.document()["source"] == "capture"


def seen(request, serving, directory):
    """(name, labels) to value, of every series of ours that a Prometheus has."""
    need_prometheus(request)
    with prometheus(directory, serving.port) as server:
        answer = until(lambda: server.instant('{__name__=~"ksmtrace_.*"}'))
    found = {}
    for series in answer:
        labels = series["metric"]
        assert labels.pop("job") == "ksmtrace"
        assert labels.pop("instance") == f"127.0.0.1:{serving.port}"
        found[labels.pop("__name__"), *sorted(labels.items())] = float(series["value"][1])
    return found


def test_prometheus_sees_what_the_replay_says(request, serving, tmp_path):
    # an empty label is none to Prometheus
    exposed = {
        (name, *(label for label in labels if label[1])): value
        for (name, *labels), value in samples(serving.metrics()).items()
        if not name.startswith("process_")  # of the process, not of the capture
    }
    found = seen(request, serving, tmp_path)
    assert {key: found.get(key) for key in exposed} == exposed
    assert len(exposed) > 50


def test_prometheus_sees_what_the_document_says_series_by_series(request, serving, tmp_path):
    found = seen(request, serving, tmp_path)
    document = serving.document()
    of_document = {
        (name, *labels): figure_of(document, name, dict(labels))
        for name, *labels in found
        if name not in ONLY_SERVED
    }
    assert [key for key, value in of_document.items() if value is None] == []
    # approx takes True for something else than 1
    expected = {key: float(value) for key, value in of_document.items()}
    assert {key: found[key] for key in expected} == pytest.approx(expected, rel=1e-9)
    assert len(of_document) > 200


def test_promtool_has_nothing_to_say(request, serving):
    need_prometheus(request, "promtool")
    ran = subprocess.run(
        ["promtool", "check", "metrics"],
        input=serving.metrics(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_health(serving):
    assert fetch(f"http://127.0.0.1:{serving.port}/-/healthy")
