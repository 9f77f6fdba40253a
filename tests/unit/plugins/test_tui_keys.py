"""Bytes to keys, and keys to what is looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.plugins.tui.keys import keys
from ksmtrace.plugins.tui.view_state import MOST_NEEDLE, OVERVIEW, ViewState

VIEWS = {"balance": "1", "stable_tree": "2", "probes": "a"}


def pressed(*pressed_keys, state=None):
    state = state or ViewState()
    for key in pressed_keys:
        state.press(key, VIEWS, page=20)
    return state


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (b"q", ["q"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"\x1b[5~\x1b[6~", ["pageup", "pagedown"]),
        (b"\x1b[1;5C", []),
        (b"\t\x1b[Z\r\x7f", ["tab", "backtab", "enter", "backspace"]),
        (b"a\x1b[Db", ["a", "left", "b"]),
        ("é".encode(), []),
        (b"\x00\x01", []),
    ],
)
def test_bytes_are_keys(typed, found):
    assert keys(typed) == found


@given(st.binary(max_size=64))
def test_any_bytes_give_keys_that_a_look_can_take(typed):
    state = pressed(*keys(typed))
    assert state.scroll >= 0
    assert state.view in (OVERVIEW, *VIEWS)
    assert state.prompt is None or len(state.prompt) <= MOST_NEEDLE


def test_views_by_key_and_in_turn():
    assert pressed("2").view == "stable_tree"
    assert pressed("2", "0").view == pressed("a", "escape").view == OVERVIEW
    turns = [pressed(*["tab"] * n).view for n in range(5)]
    assert turns == [OVERVIEW, "balance", "stable_tree", "probes", OVERVIEW]
    assert pressed("left").view == "probes"
    assert pressed("tab", state=ViewState(view="gone")).view == "balance"


def test_another_view_begins_at_its_top():
    state = pressed("1", "pagedown", "down")
    assert state.scroll == 21
    assert pressed("home", state=state).scroll == 0
    assert pressed("end", "tab", state=state).scroll == 0
    assert pressed("up").scroll == 0


def test_sorting_goes_round():
    assert pressed("s").sort == 0
    assert pressed("s", "s").sort == 1
    assert pressed(*["s"] * 10).sort is None


def test_pause_and_quit():
    assert pressed("p").paused
    assert not pressed("p", "p").paused
    assert pressed("q").ended
    assert not pressed("/", "q").ended


def test_help_goes_with_any_key_and_q_quits_from_it_too():
    assert pressed("?").help
    assert not pressed("?", "x").help
    assert pressed("?", "2").view == OVERVIEW
    assert pressed("?", "q").ended


def test_a_filter_is_typed_taken_or_dropped():
    state = pressed("/", "a", "b", "backspace", "q")
    assert (state.prompt, state.needle) == ("aq", "")
    assert pressed("enter", state=state).needle == "aq"
    state = pressed("/", "x", "escape", state=state)
    assert (state.prompt, state.needle) == (None, "aq")
    assert pressed("/", "backspace", "backspace", "enter", state=state).needle == ""
    assert len(pressed("/", *"x" * 99).prompt) == MOST_NEEDLE
