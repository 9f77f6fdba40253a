"""The rules of Grafana's dashboard linter (github.com/grafana/dashboard-linter), a test for each.

Those about logs have nothing to look at here. Grafana's rule looks at some sorts of panels; ours
looks at all.
"""

import re

import promql_parser
import pytest

from support.dashboards import Target, dashboards, substituted, targets, walk

DATASOURCE = "${datasource}"
UNITS = {"none", "short", "percentunit", "bytes", "s", "cps"}
"""Those of Grafana's units that we use; the linter has the list of all."""

EVERY = pytest.mark.parametrize("uid", dashboards())


@pytest.fixture
def dashboard(uid):
    return dashboards()[uid]


def variable(dashboard, name):
    return next(v for v in dashboard["templating"]["list"] if v["name"] == name)


def nodes(kind):
    """(target, node, nodes above) of every node of a kind, in all expressions."""
    for target in targets():
        for node, above in walk(promql_parser.parse(substituted(target.expression))):
            if isinstance(node, kind):
                yield target, node, above


@EVERY
def test_template_datasource_rule(dashboard):
    of_type = [v for v in dashboard["templating"]["list"] if v["type"] == "datasource"]
    assert [(v["name"], v["label"], v["query"]) for v in of_type] == [
        ("datasource", "Data source", "prometheus")
    ]


@EVERY
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_job_rule_and_template_instance_rule(dashboard, name):
    found = variable(dashboard, name)
    assert found["datasource"]["uid"] == DATASOURCE
    assert found["type"] == "query"
    assert found["label"] == name.capitalize()
    assert found["multi"] is True
    assert found["includeAll"] is True
    assert found["allValue"] == ".+"


@EVERY
@pytest.mark.parametrize("name", ["job", "instance"])
def test_template_label_promql_rule(dashboard, name):
    asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable(dashboard, name)["query"])
    promql_parser.parse(substituted(asked.group(1)))
    assert asked.group(2) == name


@EVERY
def test_template_on_time_change_reload_rule(dashboard):
    queries = [v for v in dashboard["templating"]["list"] if v["type"] == "query"]
    assert {v["refresh"] for v in queries} == {2}


@EVERY
def test_panel_datasource_rule(dashboard):
    for panel in dashboard["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": DATASOURCE}
        assert {t["datasource"]["uid"] for t in panel["targets"]} == {DATASOURCE}


@EVERY
def test_panel_title_description_rule(dashboard):
    for panel in dashboard["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
    assert dashboard["title"]
    assert dashboard["description"]


@EVERY
def test_panel_units_rule(dashboard):
    for panel in dashboard["panels"]:
        fields = panel["fieldConfig"]
        found = {fields["defaults"]["unit"]} | {
            p["value"] for o in fields["overrides"] for p in o["properties"] if p["id"] == "unit"
        }
        assert found <= UNITS, panel["title"]


@EVERY
def test_panel_no_targets_rule(dashboard):
    assert all(panel["targets"] for panel in dashboard["panels"])


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_target_promql_rule(target: Target):
    promql_parser.parse(substituted(target.expression))


def test_target_rate_interval_rule():
    found = list(nodes(promql_parser.MatrixSelector))
    for _, _, above in found:
        assert above[-1].func.name in {"rate", "increase"}
    rates = sum(target.expression.count("rate(") for target in targets())
    spelt = sum(target.expression.count("[$__rate_interval])") for target in targets())
    assert rates == spelt > 40
    assert sum(target.expression.count("[") for target in targets()) == len(found)


@pytest.mark.parametrize("label", ["job", "instance"])
def test_target_job_rule_and_target_instance_rule(label):
    selectors = sum(1 for _ in nodes(promql_parser.VectorSelector))
    narrowed = sum(target.expression.count(f'{label}=~"${label}"') for target in targets())
    assert selectors == narrowed
    for target, node, _ in nodes(promql_parser.VectorSelector):
        found = [m for m in node.matchers.matchers if m.name == label]
        assert [m.value for m in found] == [".+"], target.name


def test_target_counter_agg_rule():
    counters = 0
    for target, node, above in nodes(promql_parser.VectorSelector):
        if node.name.endswith(("_total", "_sum", "_count")):
            counters += 1
            assert isinstance(above[-1], promql_parser.MatrixSelector), target.name
            assert above[-2].func.name in {"rate", "irate", "increase"}, target.name
    assert counters > 40


@EVERY
def test_uneditable_dashboard(dashboard):
    assert dashboard["editable"] is False
