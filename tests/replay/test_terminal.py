"""The screen on a real pseudo-terminal: drawn, restored, followed by the outcome."""

import pytest

from support.command import KSMTRACE
from support.terminal import on_terminal


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (120, 40)])
def test_a_replay_draws_and_gives_the_terminal_back(bundled_capture, columns, lines):
    command = [KSMTRACE, "replay", str(bundled_capture), "--speed", "3"]
    status, drawn = on_terminal(command, columns=columns, lines=lines)
    assert status == 0
    screen, _, after = drawn.rpartition("\x1b[?1049l")  # back from the alternate screen
    assert "\x1b[?1049h" in screen
    for word in ("cmp_and_merge_page", "reconstructed", "stable tree", "volatile"):
        assert word in screen
    assert "\x1b[?25h" in drawn  # the cursor is shown again
    assert "KSM saves" in after


def test_no_tui_draws_nothing(bundled_capture):
    command = [KSMTRACE, "replay", str(bundled_capture), "--speed", "8", "--no-tui"]
    status, drawn = on_terminal(command, columns=80, lines=24)
    assert status == 0
    assert "\x1b[?1049h" not in drawn
    assert "KSM saves" in drawn
