"""Charts as text: their values can be read off."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ksmtrace.drawing.charts import ChartView
from ksmtrace.section import Chart
from support.pictures import EVIL_NAME


def drawn(chart, width=60, *, encoding="utf-8"):
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(width=width, file=file, color_system=None)
    console.print(ChartView(chart))
    file.flush()
    return file.buffer.getvalue().decode(encoding).splitlines()


def bars(values, **more):
    x = [f"k{n}" for n in range(len(values))]
    return Chart("Bars", "bar", "kind", x, {"pages": values}, ("text", "pages"), **more)


def test_bars_are_as_long_as_their_values():
    lines = drawn(bars([0, 10, 20, None]))
    lengths = [line.count("█") for line in lines[2:]]
    assert lengths[0] == lengths[3] == 0
    assert lengths[2] == pytest.approx(2 * lengths[1], abs=1)
    assert [line.split()[-1] for line in lines[2:]] == ["0", "10", "20", "-"]


def test_what_is_below_0_is_as_long_and_has_its_sign():
    lines = drawn(bars([10, -10]))
    assert lines[2].count("█") == lines[3].count("█") > 10
    assert lines[3].endswith("-10")


def test_bars_of_a_distribution_grow_by_the_logarithm():
    chart = Chart("t", "bar", "x", ["a", "b", "c"], {"n": [0, 9, 999]}, ("text", "pages"), log=True)
    none, some, many = (line.count("█") for line in drawn(chart, 43)[2:])
    assert (none, some) == (0, -(-many // 3))


def test_a_value_above_0_always_shows():
    assert "█" in drawn(bars([1, 1_000_000]))[2]


def test_what_is_0_all_the_time_has_a_line_with_the_others_and_what_is_unknown_is_not_0():
    series = {"a": [0, 3], "none": [0, 0], "unknown": [None, None], "nil": [None, 0]}
    lines = drawn(Chart("Pages", "line", "time", [0, 1], series, ("seconds", "pages")))
    heads = [line for line in lines if "at the end" in line]
    assert heads == ["a: 3 at the end", "unknown: - at the end"]
    assert lines[-1] == "0 all the time: none, nil"
    alone = drawn(Chart("Pages", "line", "time", [0, 1], {"none": [0, 0]}, ("seconds", "pages")))
    assert "none: 0 at the end" in alone


def test_a_line_has_its_scale_and_its_axis_printed():
    chart = Chart(
        "Time", "line", "time", [0.0, 5.0, 10.0], {"saved": [0, 4, 8]}, ("seconds", "bytes")
    )
    lines = drawn(chart)
    assert lines[1] == "saved: 8 B at the end"
    assert lines[2].startswith("         8 B ")
    assert lines[5].startswith("         0 B ")
    assert lines[6].split() == ["0", "s", "time", "10", "s"]
    heights = [
        sum(line[13:][at] != " " for line in lines[2:6] if len(line) > 13 + at) for at in range(47)
    ]
    assert heights == sorted(heights)
    assert heights[0] == 0
    assert heights[-1] == 4


def test_series_share_one_scale():
    chart = Chart("Two", "line", "time", [0.0, 1.0], {"big": [100, 100], "small": [1, 1]})
    lines = drawn(chart)
    assert sum(line.count("█") for line in lines[2:6]) > 100
    assert sum(line.count("█") for line in lines[7:11]) == 0
    assert lines[10].count("▁") > 40


def test_a_heat_map_says_what_its_cells_mean():
    chart = Chart(
        "Heat",
        "heat",
        "address",
        [0, 1, 2, 3],
        {"a": [0, 1, 2, 3], "b": [3, None, 0, 0]},
        legend=("never", "rarely", "often", "always"),
    )
    lines = drawn(chart)
    assert lines[1] == "a ·░▓█"
    assert lines[2] == "b █ ··"
    for glyph, meaning in zip("·░▓█", chart.legend, strict=True):
        assert f"{glyph} {meaning}" in lines[4]


def test_more_meanings_than_shades_are_codes():
    chart = Chart(
        "Heat", "heat", "x", list(range(8)), {"a": list(range(8))}, legend=tuple("abcdefgh")
    )
    assert drawn(chart)[1] == "a 01234567"


def test_a_wide_heat_map_keeps_the_highest():
    chart = Chart(
        "Heat", "heat", "x", list(range(1000)), {"a": [*[0] * 999, 1]}, legend=("no", "yes")
    )
    assert drawn(chart)[1][-1] == "█"


def test_output_that_knows_no_blocks_gets_ascii():
    for chart in (bars([1, 2]), Chart("T", "line", "t", [0.0, 1.0], {"a": [1, 2]}),
                  Chart("H", "heat", "x", [0], {"a": [1]}, legend=("no", "yes"))):  # fmt: skip
        assert "\n".join(drawn(chart, encoding="ascii")).isascii()


@pytest.mark.parametrize("kind", ["line", "bar", "heat"])
def test_nothing_is_said_to_be_nothing(kind):
    assert "nothing yet" in drawn(Chart("Empty", kind, "x", [], {}))[1]


def test_a_hundred_bars_become_columns():
    assert len(drawn(bars(list(range(100))))) < 10


def test_names_do_no_harm():
    chart = Chart(EVIL_NAME, "bar", EVIL_NAME, [EVIL_NAME], {EVIL_NAME: [1]}, note=EVIL_NAME)
    assert "\x1b" not in "\n".join(drawn(chart))


values = st.lists(st.none() | st.integers(0, 10**12), min_size=1, max_size=40)


@given(st.sampled_from(("line", "bar", "heat")), values, st.integers(20, 130), st.text(max_size=30))
def test_no_chart_is_wider_than_the_screen(kind, given_values, width, name):
    x = list(range(len(given_values)))
    levels = [None if v is None else v % 5 for v in given_values]
    series = {name: levels if kind == "heat" else given_values, "other": levels}
    legend = ("none", "few", "some", "many", "all")
    chart = Chart(name, kind, name, x, series, ("seconds", "bytes"), legend=legend)
    assert max(map(len, drawn(chart, width))) <= width
