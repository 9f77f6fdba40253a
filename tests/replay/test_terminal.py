"""The screen on a real pseudo-terminal: drawn, controlled by keys, restored, with a summary
last."""

import signal

import pytest

from support.command import KSMTRACE
from support.terminal import OnTerminal, on_terminal

LEAVE = "\x1b[?1049l"
SLOWLY = ("--speed", "0.5")


def _replay(capture, *options, columns=80, lines=24, **how):
    command = [KSMTRACE, "replay", str(capture), *options]
    return OnTerminal(command, columns=columns, lines=lines, **how)


@pytest.fixture
def running(bundled_capture):
    """A replay that lasts longer than any test, its overview drawn."""
    with _replay(bundled_capture, *SLOWLY) as run:
        run.wait_for("Stable tree", "q quit")
        yield run


def assert_given_back(run, drawn):
    assert drawn.count("\x1b[?1049h") == drawn.count(LEAVE) == 1
    assert "\x1b[?25h" in drawn.rpartition("\x1b[?1049h")[2]
    assert run.modes_now() == run.modes


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_a_replay_draws_and_gives_the_terminal_back(bundled_capture, columns, lines):
    with _replay(bundled_capture, "--speed", "4", columns=columns, lines=lines) as run:
        shown = run.wait_for("Stable tree", "Life of merges", "q quit")
        assert len(shown) == lines
        status, drawn, errors = run.end()
        assert (status, errors) == (0, "")
        assert_given_back(run, drawn)
    assert "KSM saves" in drawn.rpartition(LEAVE)[2]


def test_keys_lead_to_every_view_and_back(running):
    running.press("3")
    running.wait_for("age of the oldest", without="1 Is KSM worth it?")
    running.press("\t")
    running.wait_for("latency of nine tenths")
    running.press("\x1b[D" * 4)
    running.wait_for("1 Is KSM worth it?", "3 Stable tree")
    running.press("\x1b[Z")
    running.wait_for("counted", "via, and what it cannot know")
    running.press("0")
    running.wait_for("3 Stable tree")
    running.press("?")
    running.wait_for("any key goes back", "exit status 130")
    running.press(" ")
    running.wait_for("3 Stable tree", without="any key goes back")


def test_pause_lets_the_picture_stand(running):
    running.press("p")
    stood = running.wait_for("PAUSED")
    assert running.screen(seconds=2.5) == stood
    running.press("3")
    running.wait_for("PAUSED", "age of the oldest")
    running.press("0p")
    assert running.wait_for("q quit", without="PAUSED") != stood


def test_a_filter_is_typed_and_shown(running):
    running.press("/")
    running.wait_for("process:")
    running.press("alphx\x7fa")
    running.wait_for("process: alpha")
    running.press("\r3")
    running.wait_for("filter: alpha", "age of the oldest")
    running.press("/\x1b")
    running.wait_for("filter: alpha", without="process:")


def test_no_key_leaves_a_dead_screen(running):
    """Ctrl-Z, Ctrl-backslash and Ctrl-S would stop, kill or freeze what draws."""
    running.press("\x1a\x1c\x13")
    running.press("3")
    running.wait_for("age of the oldest")
    assert running.process.poll() is None


def test_a_resized_terminal_is_filled_anew(running):
    running.resize(130, 45)
    shown = running.wait_for("what it cannot know", "q quit")
    assert len(shown) == 45
    assert shown[-1].startswith("q quit")
    running.resize(60, 12)
    small = running.wait_for("q quit")
    assert len(small) == 12


def test_q_is_a_normal_end(running):
    running.press("q")
    status, drawn, errors = running.end()
    assert (status, errors) == (0, "")
    assert_given_back(running, drawn)
    assert "KSM saves" in drawn.rpartition(LEAVE)[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("paused", [False, True])
def test_a_signal_gives_the_terminal_back_and_prints_the_outcome(running, number, paused):
    if paused:
        running.press("p")
        running.wait_for("PAUSED")
    running.process.send_signal(number)
    status, drawn, errors = running.end()
    assert (status, errors) == (130, "")
    assert_given_back(running, drawn)
    assert "KSM saves" in drawn.rpartition(LEAVE)[2]


def test_a_held_replay_waits_for_q(bundled_capture):
    with _replay(bundled_capture, "--hold") as run:
        run.wait_for("ended, q quits", "1,419")
        run.press("4")
        run.wait_for("Of 4,320 new pages")
        run.press("q")
        status, drawn, _ = run.end()
        assert status == 0
        assert_given_back(run, drawn)


def test_a_paused_screen_outlives_its_run(bundled_capture):
    with _replay(bundled_capture, "--speed", "10") as run:
        run.wait_for("Stable tree")
        run.press("p")
        run.wait_for("PAUSED")
        assert run.process.poll() is None
        run.screen(seconds=8)
        assert run.process.poll() is None
        run.press("p")
        run.wait_for("ended, q quits", "1,419")
        run.press("q")
        assert run.end()[0] == 0


def test_a_frame_sends_little(bundled_capture):
    """At 80 x 24 a second of a running replay changes some lines: a few KB, not a screen of styles
    each time."""
    with _replay(bundled_capture, *SLOWLY) as run:
        run.wait_for("Stable tree")
        before = len(run.drawn)
        run.screen(seconds=4)
        assert 0 < len(run.drawn) - before < 5 * 4096


def test_no_color_is_honoured(bundled_capture, monkeypatch):
    import os

    command = [KSMTRACE, "replay", str(bundled_capture), "--speed", "10"]
    _, coloured = on_terminal(command, columns=80, lines=24)
    environment = {**os.environ, "NO_COLOR": "1"}
    _, plain = on_terminal(command, columns=80, lines=24, env=environment)
    assert "\x1b[1;36m" in coloured
    assert "36m" not in plain


def test_no_tui_draws_nothing(bundled_capture):
    command = [KSMTRACE, "replay", str(bundled_capture), "--speed", "10", "--no-tui"]
    status, drawn = on_terminal(command, columns=80, lines=24)
    assert status == 0
    assert "\x1b[?1049h" not in drawn
    assert "KSM saves" in drawn
