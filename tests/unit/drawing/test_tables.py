"""Tables as text: never wider than the screen, no cell cut, columns without room named."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ksmtrace.drawing.tables import TableView
from ksmtrace.section import Table
from ksmtrace.units import format_value

NAMES = st.text("abcdefgh", min_size=1, max_size=12)
FIGURES = st.none() | st.integers(0, 10**9)


@st.composite
def tables(draw):
    """A column of names, and some of figures."""
    heads = draw(st.lists(NAMES, min_size=2, max_size=9, unique=True))
    rows = draw(
        st.lists(
            st.tuples(st.text("xyz", min_size=1, max_size=60), *(FIGURES for _ in heads[1:])),
            min_size=1,
            max_size=6,
        )
    )
    return Table("t", heads, ("text", *("" for _ in heads[1:])), rows)


def _drawn(table, width):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(TableView(table))
    return console.file.getvalue()


@given(tables(), st.integers(50, 160))
def test_what_is_shown_is_whole_and_what_is_not_is_named(table, width):
    drawn = _drawn(table, width)
    lines = drawn.splitlines()
    assert max(map(len, lines)) <= width
    said = " ".join(drawn.partition("no room for: ")[2].split())
    left_out = said.split(", ") if said else []
    assert set(left_out) <= set(table.columns)
    assert table.columns[0] not in left_out
    for at, name in enumerate(table.columns[1:], 1):
        if name not in left_out:
            assert name in lines[0].split()
            for row in table.rows:
                assert format_value(row[at], "") in drawn


def test_columns_without_figures_leave_first():
    table = Table(
        "t", ("process", "nothing", "pages", "zero"), ("text", "", "", ""), [("a", None, 5, 0)]
    )
    assert _drawn(table, 60).split()[:4] == ["process", "nothing", "pages", "zero"]
    narrow = _drawn(table, 16)
    assert narrow.split()[:2] == ["process", "pages"]
    assert "no room for:" in narrow
