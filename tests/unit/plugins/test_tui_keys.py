"""Bytes to keys, and keys to what is looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.plugins.tui.keys import keys
from ksmtrace.plugins.tui.look import MOST_NEEDLE, OVERVIEW, Look

VIEWS = {"balance": "1", "stable_tree": "2", "probes": "a"}


def pressed(*pressed_keys, look=None):
    look = look or Look()
    for key in pressed_keys:
        look.press(key, VIEWS, page=20)
    return look


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
    look = pressed(*keys(typed))
    assert look.scroll >= 0
    assert look.view in (OVERVIEW, *VIEWS)
    assert look.prompt is None or len(look.prompt) <= MOST_NEEDLE


def test_views_by_key_and_in_turn():
    assert pressed("2").view == "stable_tree"
    assert pressed("2", "0").view == pressed("a", "escape").view == OVERVIEW
    turns = [pressed(*["tab"] * n).view for n in range(5)]
    assert turns == [OVERVIEW, "balance", "stable_tree", "probes", OVERVIEW]
    assert pressed("left").view == "probes"
    assert pressed("tab", look=Look(view="gone")).view == "balance"


def test_another_view_begins_at_its_top():
    look = pressed("1", "pagedown", "down")
    assert look.scroll == 21
    assert pressed("home", look=look).scroll == 0
    assert pressed("end", "tab", look=look).scroll == 0
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
    look = pressed("/", "a", "b", "backspace", "q")
    assert (look.prompt, look.needle) == ("aq", "")
    assert pressed("enter", look=look).needle == "aq"
    look = pressed("/", "x", "escape", look=look)
    assert (look.prompt, look.needle) == (None, "aq")
    assert pressed("/", "backspace", "backspace", "enter", look=look).needle == ""
    assert len(pressed("/", *"x" * 99).prompt) == MOST_NEEDLE
