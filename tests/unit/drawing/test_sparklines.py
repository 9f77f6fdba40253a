"""A series in one line: as high as it is, and nothing where nothing is known."""

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.drawing.sparklines import sparkline

VALUES = st.one_of(st.none(), st.floats(0, 1e12), st.integers(0, 10**15))


def test_what_rises_rises_and_0_is_seen():
    assert sparkline(range(8), range(8), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 1], [0, 0], 4) == "▁▁▁▁"


def test_what_is_not_known_is_left_free():
    assert sparkline(range(4), [None, 1, None, 2], 4) == " ▅ █"
    assert sparkline([0, 3], [None, None], 4) == "    "


def test_a_value_holds_until_the_next():
    assert sparkline([0, 3, 4], [1, 2, 4], 4) == "▃▃▃▇"


@given(st.lists(VALUES, min_size=1, max_size=50), st.integers(1, 120))
def test_it_is_as_wide_as_asked_for(values, across):
    drawn = sparkline(range(len(values)), values, across)
    assert len(drawn) == across
    assert set(drawn) <= set(" ▁▂▃▄▅▆▇█")
    if None not in values:
        assert " " not in drawn
