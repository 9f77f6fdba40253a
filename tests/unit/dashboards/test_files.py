"""The checked-in dashboards are what the code makes, and Grafana's own types can read them."""

import json
from itertools import combinations
from xml.sax.saxutils import escape

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from support.dashboards import ROOT, dashboards, metrics, rules, substituted, targets
from tools.dashboards.generate import files
from tools.docs.metrics import families
from tools.pictures import made_of

OF_PROMETHEUS = {"up", "scrape_duration_seconds"}
OF_THE_ENDPOINT = {"ksmtrace_published_timestamp_seconds"}
"""Of the sink, which is no analyzer."""
EVERY = pytest.mark.parametrize("uid", dashboards())


def test_they_are_what_the_code_makes():
    """`make dashboards` mends it."""
    assert {path.name: path.read_text() for path in ROOT.glob("*.json")} == files()


@EVERY
def test_grafanas_types_read_them_and_write_the_same(uid):
    register_default_plugins()
    document = dashboards()[uid]
    read = Dashboard.from_json(document)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == document
    assert all(isinstance(panel, Panel) for panel in read.panels)


def test_grafanas_types_know_what_is_not_theirs():
    document = dashboards()["ksmtrace-cow"]
    document["panels"][0]["fieldConfig"]["defaults"]["colour"] = "green"
    read = Dashboard.from_json(document)
    assert json.loads(json.dumps(read, cls=JSONEncoder)) != document


@EVERY
def test_the_frame(uid):
    document = dashboards()[uid]
    assert document["uid"] == uid
    assert document["schemaVersion"] == 41
    assert document["tags"] == ["ksmtrace"]
    (link,) = document["links"]
    assert link["type"] == "dashboards"
    assert link["tags"] == document["tags"]
    assert link["includeVars"] is link["keepTime"] is True


@EVERY
def test_panels_lie_beside_each_other_in_24_columns(uid):
    panels = dashboards()[uid]["panels"]
    assert 6 <= len(panels) <= 12
    assert (
        len({panel["id"] for panel in panels}) == len({p["title"] for p in panels}) == len(panels)
    )
    cells = [
        {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        for at in (panel["gridPos"] for panel in panels)
    ]
    assert all(a.isdisjoint(b) for a, b in combinations(cells, 2))
    covered = set.union(*cells)
    assert covered == {(x, y) for x in range(24) for y in range(max(y for _, y in covered) + 1)}


def test_every_metric_is_one_of_ours_or_of_prometheus():
    shown = {
        f"{family.name}{suffix}"
        for _, family in families()
        for suffix in ("", "_total", "_info", "_bucket", "_sum", "_count")
    }
    recorded = {rule["record"] for rule in rules("record")}
    asked = {name for target in targets() for name in metrics(substituted(target.expression))}
    for rule in (*rules("record"), *rules("alert")):
        asked |= metrics(rule["expr"]) - recorded
    assert sorted(asked - shown - OF_PROMETHEUS - OF_THE_ENDPOINT) == []
    assert len(asked) > 55


@EVERY
def test_its_picture_in_the_documents_shows_every_panel(uid, repository):
    """`make pictures` mends it."""
    picture = (repository / f"docs/pictures/{uid}.svg").read_text()
    titles = [escape(panel["title"]) for panel in dashboards()[uid]["panels"]]
    assert [title for title in titles if f">{title}<" not in picture] == []
    assert f"<desc>made of {made_of(dashboards()[uid])}</desc>" in picture, "it is old"
    assert f"(pictures/{uid}.svg)" in (repository / "docs/PROMETHEUS.md").read_text()


def test_tables_name_each_of_their_columns():
    for document in dashboards().values():
        for panel in document["panels"]:
            if panel["type"] != "table":
                continue
            organized = panel["transformations"][-1]["options"]
            legends = [target["legendFormat"] for target in panel["targets"]]
            assert list(organized["renameByName"].values()) == legends
            assert all(target["format"] == "table" for target in panel["targets"])
