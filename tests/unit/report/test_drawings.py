"""Charts drawn by Vega: their marks, descriptions and distinct identifiers."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksmtrace.report.axes import axis_title, divisor
from ksmtrace.report.svg import draw
from ksmtrace.section import Chart
from support.pictures import EVIL_NAME, section

TITLE = "{http://www.w3.org/2000/svg}title"


def marks(svg):
    root = ElementTree.fromstring(svg)
    return [e for e in root.iter() if e.get("role") == "graphics-symbol" and e.get("aria-label")]


def said(svg):
    return [title.text for title in ElementTree.fromstring(svg).iter(TITLE)]


def chart(kind, x, series, **more):
    return Chart("Title", kind, "x name", x, series, **more)


def test_a_bar_for_each_value_with_its_description():
    svg = draw(chart("bar", ["a", "b"], {"pages": [1, 5]}, units=("text", "pages")), 300, "c1")
    assert said(svg) == ["a: pages 1", "b: pages 5"]


def bar_widths(svg):
    """Widths of the bars, by what they say."""
    return {
        mark.get("aria-label"): float(re.match(r"M[^h]*h(-?[\d.]+)", mark.get("d"))[1])
        for mark in marks(svg)
        if mark.get("aria-roledescription") == "bar"
    }


def test_bars_of_a_distribution_grow_by_the_logarithm():
    values = {"none": 0, "one": 1, "many": 10**6}
    made = chart("bar", list(values), {"pages": list(values.values())}, units=("text", "pages"))
    svg = draw(replace(made, log=True), 300, "c1")
    widths = bar_widths(svg)
    share = widths["one: pages 1"] / widths["many: pages 1,000,000"]
    assert share == pytest.approx(math.log(2) / math.log(10**6 + 1), rel=0.02)
    assert widths["none: pages 0"] == 0
    texts = ElementTree.fromstring(svg).itertext()
    assert {"0", "1", "10", "100", "pages, logarithmic"} <= set(texts)
    linear = bar_widths(draw(made, 300, "c1"))
    assert linear["one: pages 1"] < 1


def test_two_bars_of_one_name_are_two():
    svg = draw(chart("bar", ["a", "a"], {"s": [1, 5]}), 300, "c1")
    assert len(said(svg)) == 2


def test_a_line_says_its_values_wherever_the_pointer_rests():
    made = chart(
        "line",
        [0.0, 5.0, 9.0],
        {"up": [0, 4096, 8192], "gap": [None, 1, None]},
        units=("seconds", "bytes"),
    )
    svg = draw(made, 300, "c1")
    assert said(svg) == [
        "x name 0 s: up: 0 B, gap: -",
        "x name 5 s: up: 4.0 KiB, gap: 1 B",
        "x name 9 s: up: 8.0 KiB, gap: -",
    ]
    assert svg.count('aria-roledescription="line mark container"') == 0
    assert "mark-line" in svg


def test_equal_cells_of_a_heat_map_are_one():
    made = chart("heat", [0, 1, 2, 3], {"row": [1, 1, 0, None]}, legend=("no", "yes"))
    assert said(draw(made, 300, "c1")) == ["row, 0 to 1: yes", "row, 2: no"]


def test_long_charts_stay_small():
    n = 50_000
    made = chart("line", [float(i) for i in range(n)], {"a": [i % 100 for i in range(n)]})
    assert len(draw(made, 300, "c1")) < 150_000


def test_identifiers_are_of_their_chart():
    svg = draw(chart("line", [0.0, 1.0], {"a": [1, 2]}), 300, "c7")
    identifiers = re.findall(r'\bid="([^"]*)"', svg)
    references = re.findall(r"url\(#([^)]*)\)", svg)
    assert all(name.startswith("c7-") for name in (*identifiers, *references))
    assert set(references) <= set(identifiers)


@pytest.mark.parametrize("kind", ["bar", "line", "heat"])
@pytest.mark.parametrize("word", ["if", "toString", "constructor", "__proto__", "valueOf", "datum"])
def test_words_of_javascript_are_text(kind, word, capfd):
    for series in ({word: [1, 2]}, {word: [1, 2], "other": [2, 1]}):
        made = Chart(word, kind, word, [word, word], series, ("text", "pages"), (word, "b", "c"))
        svg = draw(made, 300, "c1")
        assert word in "".join(ElementTree.fromstring(svg).itertext())
        assert "\u2060" not in svg
    assert "ERROR" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("number", range(3))
def test_names_are_text_and_nothing_else(number):
    svg = draw(section().charts[number], 300, "c1")
    root = ElementTree.fromstring(svg)
    assert not [e for e in root.iter() if e.tag.endswith("script")]
    assert "\x1b" not in svg
    assert marks(svg)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(("line", "bar", "heat")),
    st.lists(st.none() | st.integers(-(10**15), 10**15), min_size=1, max_size=30),
    st.text(max_size=20),
    st.sampled_from(("", "pages", "bytes", "seconds", "ratio")),
)
def test_any_chart_is_drawn(kind, values, name, unit):
    levels = [None if v is None else abs(v) % 3 for v in values]
    series = {name: levels if kind == "heat" else values, EVIL_NAME: levels}
    made = Chart(
        name,
        kind,
        name,
        [float(n) for n in range(len(values))],
        series,
        ("seconds", unit),
        ("a", "b", "c"),
    )
    assert ElementTree.fromstring(draw(made, 200, "c1")).tag.endswith("svg")


@pytest.mark.parametrize(
    ("values", "unit", "by"),
    [
        ([3 << 30], "bytes", (1 << 30, "GiB")),
        ([], "bytes", (1, "bytes")),
        ([7200.0], "seconds", (3600, "h")),
        ([0.002], "seconds", (1e-3, "ms")),
        ([0.5], "ratio", (0.01, "%")),
        ([5], "pages", (1, "pages")),
        ([5], "text", (1, "")),
    ],
)
def test_axes_have_few_digits(values, unit, by):
    assert divisor(values, unit) == by


def test_an_axis_names_its_unit_once():
    assert axis_title("saved", "GiB") == "saved (GiB)"
    assert axis_title("KSM pages", "pages") == "KSM pages"
    assert axis_title("", "s") == "s"
    assert axis_title("time since the merge", "s") == "time since the merge (s)"
    assert axis_title("time", "") == "time"
