"""A real Prometheus scrapes a replay, and sees what the endpoint says; promtool finds nothing to blame."""

import json
import subprocess

import pytest

from support.command import KSMTRACE
from support.exposition import samples
from support.prometheus import fetch, free_port, need_prometheus, prometheus, until


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
    need_prometheus(request)
    exposed = samples(fetch(f"http://127.0.0.1:{serving}/metrics"))
    with prometheus(tmp_path, serving) as server:
        answer = until(lambda: server.instant('{__name__=~"ksmtrace_.*"}'))
    seen = {}
    for series in answer:
        labels = series["metric"]
        key = (labels.pop("__name__"), *sorted(labels.items()))
        seen[tuple(k for k in key if k not in {("job", "ksmtrace"), ("instance", f"127.0.0.1:{serving}")})] = (
            float(series["value"][1])
        )  # fmt: skip
    assert {key: seen.get(key) for key in exposed} == exposed
    assert len(exposed) > 50


def test_promtool_has_nothing_to_say(request, serving):
    need_prometheus(request, "promtool")
    ran = subprocess.run(
        ["promtool", "check", "metrics"],
        input=fetch(f"http://127.0.0.1:{serving}/metrics"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_health(serving):
    assert fetch(f"http://127.0.0.1:{serving}/-/healthy")
