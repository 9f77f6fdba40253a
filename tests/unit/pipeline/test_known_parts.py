"""What a run cannot know is left out of its sections, and named with the reason."""

from ksmtrace.events import EventKind
from ksmtrace.pipeline.known_parts import known_parts
from ksmtrace.section import Chart, Figure, Section, Table
from support.streams import session

BLIND = session(unseen=[EventKind.CMP_AND_MERGE_PAGE])
LOOKS = ("cmp_and_merge_page",)


def _of(of=BLIND, **parts):
    return known_parts(Section("Title", "Lead.", exactness="exact.", **parts), of)


def test_a_figure_that_rests_on_what_is_not_seen_is_left_out():
    figures = [Figure("seen", 3), Figure("examined", None, needs=LOOKS), Figure("late", None)]
    section = _of(figures=figures)
    assert [figure.name for figure in section.figures] == ["seen", "late"]
    assert section.exactness == (
        "exact. Not known in this run: examined (cmp_and_merge_page is not seen)."
    )
    assert _of(session(), figures=figures).figures == tuple(figures), "it may be known later"


def test_a_figure_that_is_known_all_the_same_stays():
    assert _of(figures=[Figure("examined", 0, needs=LOOKS)]).figures[0].value == 0


def _chart(x, series, needs=LOOKS, kind="line"):
    return Chart("Pages", kind, "time", x, series, needs=needs)


def test_a_chart_without_values_is_left_out_with_its_reason():
    for chart in (_chart([], {}), _chart([1, 2], {}), _chart([1], {"a": [None]})):
        section = _of(charts=[chart])
        assert section.charts == ()
        assert "chart of pages (cmp_and_merge_page is not seen)" in section.exactness


def test_a_chart_of_which_nothing_has_happened_yet_stays():
    assert _of(session(), charts=[_chart([], {"a": []})]).charts
    assert _of(charts=[_chart([], {}, needs=())]).charts


def test_a_series_without_values_is_left_out_of_its_chart():
    (chart,) = _of(charts=[_chart([1, 2], {"a": [0, 0], "b": [None, None]})]).charts
    assert list(chart.series) == ["a"]
    assert _of(charts=[_chart([1], {"row": [None]}, kind="heat")]).charts


def test_a_column_in_which_nothing_is_known_is_left_out_and_named_once():
    table = Table(
        "Processes", ("process", "saved", "net"), ("text", "bytes", "bytes"),
        [("a", 1, None), ("b", 0, None)],
    )  # fmt: skip
    section = _of(tables=[table, table])
    assert [list(one.columns) for one in section.tables] == [["process", "saved"]] * 2
    assert [list(row) for row in section.tables[0].rows] == [["a", 1], ["b", 0]]
    assert section.exactness == "exact. Not known in this run: net."
    empty = Table("None", ("process", "saved"), ("text", "bytes"), [])
    assert _of(tables=[empty]).tables == (empty,)


def test_a_name_that_is_none_is_no_reason():
    section = _of(figures=[Figure("strange", None, needs=("no such kind",))])
    assert len(section.figures) == 1
    assert section.exactness == "exact."
