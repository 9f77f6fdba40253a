"""Declarations of figures, and what is made from one: metric, row of a panel, section figure."""

import pytest

from ksmtrace.events import EventKind
from ksmtrace.figures import (
    Family,
    FigureSpec,
    counter,
    families,
    families_by,
    first,
    gauge,
    known,
    panel_rows,
    section_figures,
    without_metrics,
)
from ksmtrace.section import Figure
from ksmtrace.session import Exactness, Knowledge, Probe
from support.runs import series
from support.streams import session

BY = counter("ksmtrace_by_pages_total", "Pages by who.", "by", all_or_none=True)
STAGES = counter("ksmtrace_stage_pages_total", "Pages by stage.", "stage")
FIGURES = (
    FigureSpec("a_pages", "pages", "A.", metric=BY, series=("user",), panel="a"),
    FigureSpec("b_pages", "pages", "B.", metric=BY, series=("kernel",), section="of b"),
    FigureSpec("c_pages", "pages", "C.", metric=STAGES, series=("seen",)),
    FigureSpec("d_pages", "pages", "D.", metric=STAGES, series=("gone",)),
    FigureSpec("e_seconds", "seconds", "E.", panel="e", metric=gauge("ksmtrace_e_seconds", "E.")),
    FigureSpec("f_ratio", "ratio", "F.", section="f", exactness="derived", panel="  f"),
    FigureSpec("g[]", "text", "G.", needs=(EventKind.COW_FAULT, EventKind.SKIPPED)),
)
ROW = {"a_pages": 1, "b_pages": 2, "c_pages": 3, "d_pages": 4, "e_seconds": 0.5, "f_ratio": 0.25}


def test_what_needs_events_that_are_not_seen_is_not_known():
    values = {"g": ["x"], "a_pages": 7}
    assert known(FIGURES, session(), values) == values
    for unseen in (EventKind.COW_FAULT, EventKind.SKIPPED):
        found = known(FIGURES, session(unseen=(unseen,)), values)
        assert list(found.items()) == [("g", None), ("a_pages", 7)]


def test_what_is_not_told_is_not_known_in_whatever_depth():
    pages = FigureSpec("kernel_pages", "pages", "K.", needs=(Knowledge.WHO_BROKE,))
    specs = tuple(FigureSpec(key, "", "O.", of=(pages,)) for key in ("a", "b[]", "c.<name>", "d[]"))
    row = {"kernel_pages": 5}
    values = {"a": row, "b": [row, row], "c": {"x": row}, "d": None}
    assert known(specs, session(), values) == values
    facts = session()
    lacks = frozenset({Knowledge.WHO_BROKE})
    facts.probes[EventKind.COW_FAULT] = Probe("test", Exactness.DERIVED, lacks=lacks)
    row["kernel_pages"] = None
    assert known(specs, facts, {**values, "a": {"kernel_pages": 5}}) == values


def test_a_figure_without_a_declaration_is_refused():
    with pytest.raises(KeyError, match="z_pages"):
        known(FIGURES, session(), {"z_pages": 1})
    with pytest.raises(KeyError, match="z_pages"):
        known((FigureSpec("a", "", "A.", of=FIGURES),), session(), {"a": {"z_pages": 1}})


def test_families_by_type_and_then_as_declared():
    made = list(families(FIGURES, ROW))
    assert [family.name for family in made] == [
        "ksmtrace_e_seconds",
        "ksmtrace_by_pages",
        "ksmtrace_stage_pages",
    ]
    assert [family.documentation for family in made] == ["E.", "Pages by who.", "Pages by stage."]
    assert series(made) == {
        ("ksmtrace_e_seconds", ()): 0.5,
        ("ksmtrace_by_pages_total", (("by", "user"),)): 1,
        ("ksmtrace_by_pages_total", (("by", "kernel"),)): 2,
        ("ksmtrace_stage_pages_total", (("stage", "seen"),)): 3,
        ("ksmtrace_stage_pages_total", (("stage", "gone"),)): 4,
    }
    assert [family.type for family in families(FIGURES, ROW, ("counter",))] == ["counter"] * 2


def test_families_of_what_is_known():
    partly = {**ROW, "a_pages": None, "c_pages": None, "e_seconds": None}
    assert series(families(FIGURES, partly)) == {
        ("ksmtrace_stage_pages_total", (("stage", "gone"),)): 4
    }
    assert list(families(FIGURES, dict.fromkeys(ROW))) == []
    assert list(families(FIGURES, {})) == []


def test_families_with_samples_of_several_rows():
    pages = counter("ksmtrace_group_pages_total", "Pages.", "group", "by")
    size = gauge("ksmtrace_group_bytes", "Bytes.", "group")
    specs = (
        FigureSpec("a", "pages", "A.", metric=pages, series=("user",)),
        FigureSpec("b", "pages", "B.", metric=pages, series=("kernel",)),
        FigureSpec("c", "bytes", "C.", metric=size),
    )
    rows = {("x",): {"a": 1, "b": 2, "c": 3}, ("y",): {"a": 4, "b": None, "c": None}}
    assert list(series(families_by(specs, rows)).items()) == [
        (("ksmtrace_group_bytes", (("group", "x"),)), 3),
        (("ksmtrace_group_pages_total", (("by", "user"), ("group", "x"))), 1),
        (("ksmtrace_group_pages_total", (("by", "kernel"), ("group", "x"))), 2),
        (("ksmtrace_group_pages_total", (("by", "user"), ("group", "y"))), 4),
    ]
    assert list(families_by(without_metrics(specs), rows)) == []


def test_a_histogram():
    family = Family("ksmtrace_x_seconds", "histogram", "X.")
    made = family.make_buckets([("1.0", 2.0), ("+Inf", 3.0)], 4.5)
    assert series([made]) == {
        ("ksmtrace_x_seconds_bucket", (("le", "1.0"),)): 2,
        ("ksmtrace_x_seconds_bucket", (("le", "+Inf"),)): 3,
        ("ksmtrace_x_seconds_count", ()): 3,
        ("ksmtrace_x_seconds_sum", ()): 4.5,
    }


def test_rows_of_a_panel():
    assert panel_rows(FIGURES, ROW) == [("a", 1), ("e", "500 ms"), ("  f", "25.0%")]
    assert panel_rows(FIGURES, {**ROW, "e_seconds": None}) == [("a", 1), ("  f", "25.0%")]
    assert panel_rows(FIGURES, dict.fromkeys(ROW)) == []
    assert panel_rows(FIGURES, ROW, {"e_seconds": "half"})[1] == ("e", "half")


def test_figures_in_another_order():
    found = [spec.key for spec in first(FIGURES[:4], "d_pages", "b_pages")]
    assert found == ["d_pages", "b_pages", "a_pages", "c_pages"]


def test_figures_of_a_section():
    assert section_figures(FIGURES, ROW, {"f_ratio": "a note"}) == [
        Figure("of b", 2, "pages"),
        Figure("f", 0.25, "ratio", "derived", "a note"),
    ]
