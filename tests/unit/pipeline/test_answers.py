"""Answers of plugins at the border: what is wrong is named and left out, the rest is kept."""

import json
import math
from collections import Counter
from enum import StrEnum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import GaugeMetricFamily, Metric
from rich.text import Text

from ksmtrace import hookimpl
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.pipeline.answers import DEEPEST, MOST_VALUES, json_object, sections
from ksmtrace.section import Chart, Figure, Section, Table
from support.runs import EMPTY, runner
from support.streams import events


class Odd:
    """A plugin that gives what it is told to, beside what is right."""

    def __init__(self, **given):
        self._given = given

    @hookimpl
    def ksmtrace_analysis(self):
        return {"right": 1, **self._given.get("analysis", {})}

    @hookimpl
    def ksmtrace_conclude(self):
        return self._given.get("conclude")

    @hookimpl
    def ksmtrace_metrics(self):
        return [*self._given.get("metrics", ()), GaugeMetricFamily("right", "Right.", 1)]

    @hookimpl
    def ksmtrace_panels(self):
        return [*self._given.get("panels", ()), Text("right")]

    @hookimpl
    def ksmtrace_sections(self):
        return [*self._given.get("sections", ()), Section("right", "A lead.")]


class Colour(StrEnum):
    RED = "red"


def cycle():
    found = {}
    found["in"] = [found]
    return found


def deep():
    found = []
    for _ in range(DEEPEST + 5):
        found = [found]
    return found


WRONG = {
    "int64": (np.int64(5), "numpy.int64"),
    "an array": (np.zeros(3), "numpy.ndarray"),
    "a set": ({1}, "of type set"),
    "an object": (object(), "of type object"),
    "bytes": (b"x", "of type bytes"),
    "NaN": (math.nan, "is nan"),
    "infinity": (-math.inf, "is -inf"),
    "a cycle": (cycle(), "in itself"),
    "a deep list": (deep(), "nested too deeply"),
    "a huge number": (10**5000, "bits"),
    "too many values": ([0] * (MOST_VALUES + 1), "too many"),
    "a lambda": (lambda: 1, "function"),
}  # fmt: skip


@pytest.mark.parametrize("hook", ["analysis", "conclude"])
@pytest.mark.parametrize(("value", "why"), WRONG.values(), ids=WRONG)
def test_a_value_that_json_does_not_have_is_null_and_its_plugin_named(capsys, hook, value, why):
    plugins = {"odd": Odd(**{hook: {"wrong": value, "nested": {"list": [value, 2]}}})}
    document = runner([events(*EMPTY)], plugins, fail_fast=False).run().document
    found = document["analyzers"]["odd"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["right"] == 1
    if "cycle" not in why and why not in ("in itself", "nested too deeply", "too many"):
        assert found == {"right": 1, "wrong": None, "nested": {"list": [None, 2]}}
    assert document["plugins_failed"] == {}
    said = capsys.readouterr().err
    assert f"plugin 'odd' in ksmtrace_{hook}: wrong" in said
    assert why in said
    run = runner([events(*EMPTY)], plugins)
    with pytest.raises(KsmtraceError, match="'odd'") as caught:
        _ = run.run().document
    assert caught.value.status == ExitStatus.BAD_INPUT


@pytest.mark.parametrize("key", [1, None, b"x", ("a",), 1.5])
def test_a_key_that_is_no_text_is_left_out(key):
    complaints = []
    assert json_object({key: 1, "a": {key: 2, "b": 3}}, complaints.append) == {"a": {"b": 3}}
    assert len(complaints) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64) | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.dictionaries(st.text(), JSON))
def test_what_json_has_stays_as_it_is_and_is_the_runs_own(value):
    complaints = []
    found = json_object(value, complaints.append)
    assert found == json.loads(json.dumps(value))
    assert complaints == []
    before = json.dumps(found)
    for inner in value.values():
        if isinstance(inner, (list, dict)):
            inner.clear()
    assert json.dumps(found) == before


def test_kinds_of_texts_numbers_and_dictionaries_are_plain_ones():
    complaints = []
    value = {"a": Colour.RED, "b": np.float64(0.5), "c": Counter(x=1), "d": (1, True)}
    found = json_object(value, complaints.append)
    assert found == {"a": "red", "b": 0.5, "c": {"x": 1}, "d": [1, True]}
    assert [type(v) for v in found.values()] == [str, float, dict, list]
    assert complaints == []


def family(name="ksmtrace_x", value=1.0, labels=None, **changed):
    made = GaugeMetricFamily(name, "Help.", labels=list(labels or {}))
    made.add_metric(list((labels or {}).values()), value)
    for attribute, given_ in changed.items():
        setattr(made, attribute, given_)
    return made


def twice():
    made = family(labels={"a": "b"})
    made.add_metric(["b"], 2)
    return made


def sampled(name, labels=None):
    made = Metric("ksmtrace_x", "Help.", "gauge")
    made.add_sample(name, labels or {}, 1)
    return made


JUNK = {
    "no number": family(value="x"),
    "nothing": family(value=None),
    "a label that is no text": family(labels={"a": 5}),
    "a label's name": family(labels={"a-b": "c"}),
    "a reserved label": family(labels={"__name__": "c"}),
    "two equal series": twice(),
    "a name of two lines": sampled("x 1\nevil_total"),
    "a name that is none": family(name="ksmtrace_x", samples=[5]),
    "no help": family(documentation=None),
}  # fmt: skip


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_a_junk_metric_is_put_down_to_its_plugin(capsys, junk):
    snapshot = runner([events(*EMPTY)], {"odd": Odd(metrics=[junk])}, fail_fast=False).run()
    names = [family.name for family in snapshot.metrics]
    assert "right" in names
    assert "ksmtrace_x" not in names
    assert b"\nright 1.0\n" in snapshot.exposition.text
    assert b"evil" not in snapshot.exposition.text
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ksmtrace: plugin 'odd' publishes ")
    with pytest.raises(KsmtraceError, match=r"'odd' publishes .* cannot be written"):
        _ = runner([events(*EMPTY)], {"odd": Odd(metrics=[junk])}).run().metrics


def chart(**changed):
    how = {"title": "c", "kind": "line", "x_name": "x", "x": [1, 2], "series": {"s": [1, None]}}
    return Chart(**how | changed)


PARTS = {
    "figures": [
        *(object(), None, Figure("f", object()), Figure("f", math.nan), Figure(5, 1)),
        *(Figure("f", np.int64(1)), Figure("f", 1, unit=None)),
    ],
    "tables": [
        object(),
        Table("t", ["a"], [""], [[object()]]),
        Table("t", ["a"], [""], [[1, 2]]),
        Table("t", ["a"], [], [[1]]),
        Table("t", ["a"], [""], [5]),
        Table("t", ["a"], [""], 5),
        Table("t", 5, [""], []),
        Table(None, ["a"], [""], []),
    ],
    "charts": [
        object(),
        chart(kind="pie"),
        chart(series={"s": [1]}),
        chart(series={"s": [1, "2"]}),
        chart(series={"s": [1, math.inf]}),
        chart(series=5),
        chart(x=[1, object()]),
        chart(x=5),
        chart(units=("",)),
        chart(kind="heat", series={"s": [0, 7]}, legend=["one"]),
    ],
}


@pytest.mark.parametrize(("name", "part"), [(n, p) for n, parts in PARTS.items() for p in parts])
def test_a_part_of_a_section_that_cannot_be_drawn_is_left_out(name, part):
    right = {
        "figures": Figure("right", 1.5, "pages"),
        "tables": Table("right", ["a", "b"], ["text", ""], [["x", None]]),
        "charts": chart(),
    }
    given_ = {key: [value] for key, value in right.items()}
    given_[name] = [part, right[name]]
    complaints = []
    (found,) = sections([Section("s", "lead", **given_)], complaints.append)
    assert (found.figures, found.tables, found.charts) == tuple((v,) for v in right.values())
    assert len(complaints) == 1


@pytest.mark.parametrize(
    ("hook", "foreign"),
    [
        ("sections", object()),
        ("sections", Section(5, "lead")),
        ("sections", Section("s", "lead", exactness=None)),
        ("panels", object()),
        ("panels", 5),
    ],
)
def test_a_foreign_object_is_left_out_and_its_plugin_named(capsys, hook, foreign):
    snapshot = runner([events(*EMPTY)], {"odd": Odd(**{hook: [foreign]})}, fail_fast=False).run()
    (shown,) = getattr(snapshot, hook)
    assert shown[0] == "odd"
    assert f"plugin 'odd' in ksmtrace_{hook}: " in capsys.readouterr().err
