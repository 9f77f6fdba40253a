"""A real Prometheus scrapes a replay: every expression of every panel and rule returns data."""

import json
import subprocess

import pytest

from support.command import KSMTRACE
from support.dashboards import RULES, Target, looked_at, rules, substituted, targets
from support.prometheus import free_port, need_prometheus, prometheus, until

RANGE = "5m"
"""Longer than the replay takes, on a busy machine too: rates are over all of it."""

ASKS_FOR_YESTERDAY = " offset 1h"
"""One alert compares with the day before, which a replay of half a minute has not: asked without,
and by promtool with."""


@pytest.fixture(scope="module")
def server(request, bundled_capture, tmp_path_factory):
    """A Prometheus that has scraped a paced replay from beginning to end, with our rules."""
    need_prometheus(request)
    port = free_port()
    command = [KSMTRACE, "replay", str(bundled_capture), "--json", "--speed", "4"]
    command += ["--listen", f"127.0.0.1:{port}", "-p", "no:tui"]
    with (
        prometheus(
            tmp_path_factory.mktemp("prometheus"), port, interval="500ms", rules=[RULES]
        ) as server,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run,
    ):
        assert "still serving" in run.stderr.readline()
        until(lambda: server.instant("ksmtrace_passes_total == 40"))
        until(lambda: server.instant("instance:ksmtrace_pass_seconds:mean30m"))
        yield server
        run.terminate()
        out, _ = run.communicate(timeout=30)
        assert json.loads(out)["passes"] == 40


def test_every_panel_has_data(server):
    def lacks(target: Target) -> bool:
        return not server.values(substituted(target.expression, RANGE, RANGE))

    asked = targets()
    assert [target.name for target in asked if lacks(target)] == []
    assert len(asked) > 60


def test_every_recording_rule_records(server):
    names = [rule["record"] for rule in rules("record")]
    assert [name for name in names if not until(lambda name=name: server.values(name))] == []
    assert len(names) == 5


def test_every_alert_looks_at_something_that_is_there(server):
    sides = [
        (rule["alert"], side.replace(ASKS_FOR_YESTERDAY, ""))
        for rule in rules("alert")
        for side in looked_at(rule["expr"])
    ]
    assert [side for side in sides if not server.values(side[1])] == []
    assert {name for name, _ in sides} == {rule["alert"] for rule in rules("alert")}


def test_the_server_takes_the_rules(server):
    loaded = server.api("rules")["groups"]
    found = [rule for group in loaded for rule in group["rules"]]
    assert {rule["name"] for rule in found} == {
        rule.get("alert", rule.get("record"))
        for kind in ("alert", "record")
        for rule in rules(kind)
    }
    assert {rule["health"] for rule in found} == {"ok"}


def test_variables_find_the_tracer(server):
    for label in ("job", "instance"):
        found = server.api(f"label/{label}/values", **{"match[]": "ksmtrace_build_info"})
        assert len(found) == 1
