"""Bytes to keys, and keys to what is looked at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.plugins.tui.keys import keys
from ksmtrace.plugins.tui.view_state import MOST_NEEDLE, OVERVIEW, PROCESS, Choices, ViewState

VIEWS = {"balance": "1", "stable_tree": "2", "probes": "a"}
CHOICES = Choices(VIEWS, 20, ["java 1", "qemu 2", "java 3"], [1, 2, 3, 5, 7])


def pressed(*pressed_keys, state=None):
    state = state or ViewState()
    for key in pressed_keys:
        state.press(key, CHOICES)
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
        ("é漢".encode(), ["é", "漢"]),
        (b"\xc3\xff\xe9", []),
        (b"\x00\x01", []),
        (b"\x1a", ["suspend"]),
        (b"\x1b[<0;1;24M\x1b[<0;1;24m", ["click 0 23"]),
        (b"\x1b[<64;5;5M\x1b[<65;5;5M", ["wheelup", "wheeldown"]),
        (b"\x1b[<2;5;5Mq", ["q"]),
    ],
)
def test_bytes_are_keys(typed, found):
    assert keys(typed) == found


@given(st.binary(max_size=64))
def test_any_bytes_give_keys_that_a_look_can_take(typed):
    state = pressed(*keys(typed))
    assert state.scroll >= 0
    assert state.view in (OVERVIEW, PROCESS, *VIEWS)
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
    assert pressed("wheeldown", "wheelup", state=state).scroll == 21
    assert pressed("home", state=state).scroll == 0
    assert pressed("end", "tab", state=state).scroll == 0
    assert pressed("up").scroll == 0


def test_sorting_goes_round():
    assert pressed("s").sort == 0
    assert pressed("s", "s").sort == 1
    assert pressed(*["s"] * 10).sort is None


def test_sorting_goes_both_ways():
    state = pressed("s", "S")
    assert (state.sort, state.backwards) == (0, True)
    assert not pressed("S", state=state).backwards


def test_a_process_is_chosen_opened_and_left():
    assert pressed("up").chosen == "java 1"
    assert pressed("down", "down", "down").chosen == "java 3"
    assert pressed("end", "home").chosen == "java 1"
    state = pressed("down")
    assert state.row(["qemu 2", "java 1"]) == 0, "the process that was chosen, not its place"
    assert state.row(["java 1"]) == 0
    state = pressed("down", "enter")
    assert (state.view, state.process) == (PROCESS, "qemu 2")
    assert pressed("tab", state=state).process == "java 3"
    assert pressed("tab", state=state).process == "java 1"
    assert pressed("escape", state=state).view == OVERVIEW
    assert pressed("process 2").process == "java 3"
    assert pressed("process 9").view == OVERVIEW
    assert pressed("1", "enter").view == "balance"
    none = ViewState()
    none.press("enter", Choices(VIEWS, 20))
    assert none.view == OVERVIEW


def test_passes_are_looked_back_at():
    state = pressed("[")
    assert (state.at, state.paused) == (7, True)
    assert pressed("[", state=state).at == 5
    assert [pressed(*["["] * n).at for n in (3, 4, 5, 6)] == [3, 2, 1, 1]
    assert pressed("]", state=state).at == 7
    assert pressed("]", state=state).at is None
    assert pressed("]").at is None
    state = pressed("[", "p")
    assert (state.at, state.paused) == (None, False)
    alone = ViewState()
    alone.press("[", Choices(VIEWS, 20))
    assert (alone.at, alone.paused) == (None, False)


@pytest.mark.parametrize(
    ("typed", "at"), [("4", 4), ("0", 1), ("999999999999", 999_999_999), ("", None), ("x5", 5)]
)
def test_a_pass_is_gone_to_by_its_number(typed, at):
    assert pressed("g", *typed, "enter").at == at
    assert pressed("g", *typed, "escape").at is None


def test_the_mouse_is_given_back_and_taken_again():
    assert not pressed("m").mouse
    assert pressed("m", "m").mouse


def test_ctrl_z_suspends_wherever_one_is():
    for before in ((), ("/",), ("?",), ("2",)):
        assert pressed(*before, "suspend").suspending


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
