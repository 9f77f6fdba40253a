"""The screen on a real pseudo-terminal: drawn, controlled by keys, restored, with a summary
last."""

import os
import re
import signal

import pytest

from support.command import KSMTRACE
from support.terminal import OnTerminal, on_terminal

COLOUR = r"\x1b\[[\d;]*(?:38;[25];|3\d|9\d)[\d;]*m"
LEAVE = "\x1b[?1049l"
SLOWLY = ("--speed", "0.5")


def _replay(capture, *options, columns=80, lines=24, **how):
    command = [KSMTRACE, "replay", str(capture), *options]
    return OnTerminal(command, columns=columns, lines=lines, **how)


@pytest.fixture
def running(bundled_capture):
    """A replay that lasts longer than any test, its overview drawn."""
    with _replay(bundled_capture, *SLOWLY) as run:
        run.wait_for("KSM pages and their sharers", "q quit")
        yield run


def assert_given_back(run, drawn):
    assert drawn.count("\x1b[?1049h") == drawn.count(LEAVE) == 1
    assert "\x1b[?25h" in drawn.rpartition("\x1b[?1049h")[2]
    assert run.modes_now() == run.modes


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_a_replay_draws_and_gives_the_terminal_back(bundled_capture, columns, lines):
    with _replay(bundled_capture, "--speed", "4", columns=columns, lines=lines) as run:
        shown = run.wait_for(
            "KSM pages and their sharers", "How long merges take and last", "q quit"
        )
        assert len(shown) == lines
        status, drawn, errors = run.end()
        assert (status, errors) == (0, "")
        assert_given_back(run, drawn)
    assert "KSM saves" in drawn.rpartition(LEAVE)[2]


def test_keys_lead_to_every_view_and_back(running):
    running.press("3")
    running.wait_for("age of the oldest", without="1 Is KSM worth it?")
    running.press("\t")
    running.wait_for("nine tenths merged within")
    running.press("\x1b[D" * 4)
    running.wait_for("1 Is KSM worth it?", "3 KSM pages and their sharers")
    running.press("\x1b[Z")
    running.wait_for("by the kernel", "via, and what it cannot know")
    running.press("0")
    running.wait_for("3 KSM pages and their sharers")
    running.press("?")
    running.wait_for("any other key goes back", "exit status 130")
    running.press(" ")
    running.wait_for("3 KSM pages and their sharers", without="any other key goes back")


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
    """Ctrl-backslash and Ctrl-S would kill or freeze what draws; Ctrl-Z, where there is no shell,
    stop it for ever."""
    running.press("\x1a\x1c\x13")
    running.press("3")
    running.wait_for("age of the oldest")
    assert running.process.poll() is None


PROMPT = "ready> "


def test_ctrl_z_gives_the_terminal_to_the_shell_and_fg_draws_again(bundled_capture):
    # bash asks on stderr
    bash = "exec bash --norc --noprofile -i 2>&1"
    shell = ["setsid", "--ctty", "--wait", "sh", "-c", bash]
    with OnTerminal(shell, columns=80, lines=24, env={**os.environ, "PS1": PROMPT}) as run:
        run.wait_for(PROMPT.strip())
        run.press(f"{KSMTRACE} replay {bundled_capture} --speed 0.5\n")
        run.wait_for("1 Is KSM worth it?", "q quit")
        before = run.modes_now()
        run.press("\x1a")
        run.wait_for("Stopped", PROMPT.strip())
        assert "\x1b[?1049l" in run.drawn.decode()
        assert "\x1b[?1000l" in run.drawn.decode()
        assert run.modes_now() != before, "the shell has its modes"
        run.press("echo between\n")
        run.wait_for("between")
        run.press("fg\n")
        run.wait_for("1 Is KSM worth it?", "q quit", without="Stopped")
        run.press("3")
        run.wait_for("age of the oldest")
        assert run.modes_now()[3] == before[3]
        run.press("q")
        run.wait_for("To bear in mind", PROMPT.strip())


def test_a_click_opens_what_is_there_and_the_wheel_scrolls(running):
    assert b"\x1b[?1000h" in running.drawn
    shown = running.wait_for("7 Copy on write")
    row = next(at for at, line in enumerate(shown) if "7 Copy on write" in line)
    column = shown[row].index("7 Copy on write")
    running.press(f"\x1b[<0;{column + 2};{row + 1}M\x1b[<0;{column + 2};{row + 1}m")
    running.wait_for("Copy on write", without="1 Is KSM worth it?")
    running.press("3")
    running.wait_for("lines more")
    running.press("\x1b[<65;3;3M")
    running.wait_for("lines more", without="KSM pages stand for")
    running.press("m")
    running.wait_for("lines more")
    assert b"\x1b[?1000l" in running.drawn


def test_a_held_replay_is_looked_back_at_pass_by_pass(bundled_capture):
    with _replay(bundled_capture, "--hold") as run:
        run.wait_for("ended, q quits", "saved 852")
        run.press("[[")
        run.wait_for("PASS 39 of 40")
        run.press("g12\r")
        twelfth = run.wait_for("PASS 12 of 40")
        assert "1,419" not in "\n".join(twelfth)
        run.press("]")
        run.wait_for("PASS 13 of 40")
        run.press("[")
        assert run.wait_for("PASS 12 of 40") == twelfth
        run.press("3")
        run.wait_for("PASS 12 of 40", "merged in this run")
        run.press("0p")
        run.wait_for("ended, q quits", "saved 852")
        run.press("q")
        assert run.end()[0] == 0


def test_a_process_is_opened_and_left(bundled_capture):
    with _replay(bundled_capture, "--hold") as run:
        run.wait_for("ended, q quits", "beta 125")
        run.press("\x1b[B\r")
        run.wait_for("alpha 124", "cgroup /", "Is KSM worth it?", without="Mergeable memory")
        run.press("\x1b")
        run.wait_for("Mergeable memory")
        run.press("q")
        assert run.end()[0] == 0


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
        run.wait_for("ended, q quits", "saved 852")
        run.press("4")
        run.wait_for("Of 4,320 new pages")
        run.press("q")
        status, drawn, _ = run.end()
        assert status == 0
        assert_given_back(run, drawn)


def test_a_paused_screen_outlives_its_run(bundled_capture):
    with _replay(bundled_capture, "--speed", "10") as run:
        run.wait_for("KSM pages and their sharers")
        run.press("p")
        run.wait_for("PAUSED")
        assert run.process.poll() is None
        run.screen(seconds=8)
        assert run.process.poll() is None
        run.press("p")
        run.wait_for("ended, q quits", "saved 852")
        run.press("q")
        assert run.end()[0] == 0


def test_a_frame_sends_little(bundled_capture):
    """At 80 x 24 a second of a running replay changes some lines: a few KB, not a screen of styles
    each time."""
    with _replay(bundled_capture, *SLOWLY) as run:
        run.wait_for("KSM pages and their sharers")
        before = len(run.drawn)
        run.screen(seconds=4)
        assert 0 < len(run.drawn) - before < 5 * 4096


def test_no_color_is_honoured(bundled_capture):
    command = [KSMTRACE, "replay", str(bundled_capture), "--speed", "10"]
    _, coloured = on_terminal(command, columns=80, lines=24)
    environment = {**os.environ, "NO_COLOR": "1"}
    _, plain = on_terminal(command, columns=80, lines=24, env=environment)
    assert re.search(COLOUR, coloured)
    assert not re.search(COLOUR, plain)


def test_a_terminal_of_16_colours_has_its_own_for_each_state(bundled_capture):
    command = [KSMTRACE, "replay", str(bundled_capture), "--hold"]
    kept = {name: value for name, value in os.environ.items() if name != "COLORTERM"}
    with OnTerminal(["env", "TERM=xterm-16color", *command], columns=80, lines=24, env=kept) as run:
        run.wait_for("ended, q quits", "saved 852")
        run.press("q")
        drawn = run.end()[1]
    assert not re.search(r"\x1b\[[\d;]*38;[25];", drawn)
    for what, colour in (("█{20,}", 32), ("▒{5,}", 34), ("v+", 31), ("x", 90)):
        assert re.search(rf"\x1b\[{colour}m{what}\x1b", drawn), what


def test_no_tui_draws_nothing(bundled_capture):
    command = [KSMTRACE, "replay", str(bundled_capture), "--speed", "10", "--no-tui"]
    status, drawn = on_terminal(command, columns=80, lines=24)
    assert status == 0
    assert "\x1b[?1049h" not in drawn
    assert "KSM saves" in drawn
