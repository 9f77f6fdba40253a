"""Recording and alert rules: promtool accepts them, and each alert fires when it should."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from support.dashboards import RULES, rules
from support.prometheus import need_prometheus

FIXTURES = Path(__file__).parent / "rules.test.yaml"
ALERTS = {rule["alert"]: rule for rule in rules("alert")}
ASKED_FOR = {
    *("KsmtraceCostsMoreThanItSaves", "KsmtraceCowStorm", "KsmtracePassTimeExploding"),
    *("KsmtraceVolatileShareHigh", "KsmtraceChainsGrowing", "KsmtraceEventsLost"),
    *("KsmtraceReconstructionDiffers", "KsmtraceDown", "KsmtraceAbsent"),
}


def promtool(*arguments):
    return subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def fixtures(kind):
    for test in yaml.safe_load(FIXTURES.read_text())["tests"]:
        yield from test.get(kind, ())


def test_promtool_takes_the_rules(request):
    need_prometheus(request, "promtool")
    ran = promtool("check", "rules", RULES)
    assert ran.returncode == 0, ran.stderr
    assert f"{len(ALERTS) + len(rules('record'))} rules found" in ran.stdout


def test_every_fixture_holds(request):
    need_prometheus(request, "promtool")
    ran = promtool("test", "rules", FIXTURES)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_fixture_that_does_not_hold_is_noticed(request, tmp_path):
    need_prometheus(request, "promtool")
    changed = FIXTURES.read_text().replace("../../../dashboards/rules", str(RULES.parent))
    (tmp_path / "changed.yaml").write_text(changed.replace("values: 1x90", "values: 0x90"))
    assert promtool("test", "rules", tmp_path / "changed.yaml").returncode == 1


def test_every_alert_is_shown_firing_and_not_firing():
    shown = [(test["alertname"], bool(test["exp_alerts"])) for test in fixtures("alert_rule_test")]
    assert set(shown) == {(name, fires) for name in ALERTS for fires in (True, False)}
    assert set(ALERTS) >= ASKED_FOR


def test_every_recorded_series_is_shown_with_its_value():
    shown = {test["expr"] for test in fixtures("promql_expr_test")}
    assert shown == {rule["record"] for rule in rules("record")}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_and_where_to_read_on(name, repository):
    alert = ALERTS[name]
    said = alert["annotations"]
    assert set(said) == {"summary", "description", "runbook"}
    assert said["description"].endswith(".")
    assert alert["labels"]["severity"] in {"warning", "critical"}
    document, _, anchor = said["runbook"].partition("#")
    headings = re.findall(r"^### (\w+)$", (repository / document).read_text(), re.MULTILINE)
    assert anchor == name.lower()
    assert name in headings


def test_the_runbook_has_no_paragraph_too_many(repository):
    text = (repository / "docs/RUNBOOK.md").read_text()
    parts = re.split(r"^### (\w+)\n", text, flags=re.MULTILINE)[1:]
    assert parts[::2] == list(ALERTS)
    assert all(len(part.split()) > 30 for part in parts[1::2])


def test_prometheus_takes_what_the_document_tells_to_configure(request, repository, tmp_path):
    need_prometheus(request, "promtool")
    text = (repository / "docs/PROMETHEUS.md").read_text()
    parts = [
        yaml.safe_load(part)
        for part in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]
    wanted = {"scrape_configs", "rule_files"}
    config = {key: value for part in parts for key, value in part.items() if key in wanted}
    assert set(config) == wanted
    assert config["rule_files"] == ["/etc/ksmtrace/rules/ksmtrace.rules.yaml"]
    config["rule_files"] = [str(RULES)]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    ran = promtool("check", "config", tmp_path / "prometheus.yml")
    assert ran.returncode == 0, ran.stderr
    assert f"{len(ALERTS) + len(rules('record'))} rules found" in ran.stdout
    (provider,) = next(part["providers"] for part in parts if "providers" in part)
    assert provider["options"] == {"path": "/etc/ksmtrace"}
