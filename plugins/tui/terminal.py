"""A terminal that is taken over: keys one by one, the alternate screen, lines that changed.

Afterwards everything is as it was before.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style

from ksmtrace.drawing.palette import ANSI

_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[2J", "\x1b[?25h\x1b[?1049l"
_MOUSE_ON, _MOUSE_OFF = "\x1b[?1000h\x1b[?1006h", "\x1b[?1006l\x1b[?1000l"
"""Buttons and where they were pressed; a terminal without a mouse takes no notice."""

_BACK_SECONDS = 0.2
_NO_CHARACTER = b"\0"


class Terminal:
    """A terminal taken over from `enter` to `leave`.

    Attributes:
        keys: file descriptor to read keys from; None where nobody can type.
    """

    def __init__(self, console: Console) -> None:
        self.keys: int | None = None
        self._console = console
        self._before: list[Any] | None = None
        self._drawn: list[str] = []
        self._size: tuple[int, int] | None = None
        self._entered = False
        self._has_mouse = False

    def enter(self) -> None:
        """Take it over; whatever ends the program gives it back."""
        atexit.register(self.leave)
        self._entered = True
        self._take_keys()
        self._size = None
        self._write(_ENTER)

    def leave(self) -> None:
        """Give it back as it was; may be called twice."""
        if not self._entered:
            return
        self._entered = False
        atexit.unregister(self.leave)
        with suppress(OSError, ValueError):
            self.take_mouse(take=False)
            self._write(_LEAVE)
        if self._before is not None:
            with suppress(termios.error, ValueError, OSError):
                termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._before)
                termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
        self.keys = None

    def take_mouse(self, *, take: bool) -> None:
        """Have the terminal tell of clicks, or leave them to it, which selects text by them."""
        if take != self._has_mouse and (self.keys is not None or not take):
            self._has_mouse = take
            self._write(_MOUSE_ON if take else _MOUSE_OFF)

    def suspend(self) -> None:
        """Give the terminal back, stop as Ctrl-Z does, and take it over when in front again.

        Nothing where no shell could bring the program back.
        """
        if self.keys is None or not _is_a_job(self.keys):
            return
        fd = self.keys
        self.leave()
        os.killpg(os.getpgrp(), signal.SIGTSTP)
        # the group's signal may take another thread: this one must not go on before
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
        while not _in_foreground(fd):
            time.sleep(_BACK_SECONDS)
        self.enter()

    def size(self) -> tuple[int, int]:
        """(columns, lines), now."""
        with suppress(OSError, ValueError):
            found = os.get_terminal_size(self._console.file.fileno())
            if found.columns and found.lines:
                return found.columns, found.lines
        return self._console.size.width, self._console.size.height

    def draw(self, lines: Sequence[list[Segment]], size: tuple[int, int]) -> None:
        """Show these lines; only those that differ from the ones before are sent."""
        fresh = [self._encoded(line) for line in lines]
        out = ""
        if size != self._size:
            out, self._size, self._drawn = "\x1b[2J", size, []
        for row, line in enumerate(fresh):
            if row >= len(self._drawn) or line != self._drawn[row]:
                out += f"\x1b[{row + 1};1H{line}\x1b[K"
        if len(fresh) < len(self._drawn):
            out += f"\x1b[{len(fresh) + 1};1H\x1b[J"
        self._drawn = fresh
        if out:
            self._write(out)

    def _encoded(self, line: list[Segment]) -> str:
        if self._console.color_system == "standard":
            line = [_of_16(segment) for segment in line]
        with self._console.capture() as capture:
            self._console.print(Segments(line), end="", crop=False, no_wrap=True, highlight=False)
        return capture.get().replace("\n", "")

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()

    def _take_keys(self) -> None:
        """Read keys without echo and without waiting for Enter, where stdin is ours to read.

        Ctrl-backslash and Ctrl-S are switched off, which would leave a screen that nobody draws;
        Ctrl-Z is a key like any other, which `suspend` is for.
        """
        try:
            fd = sys.stdin.fileno()
            if not os.isatty(fd) or not _in_foreground(fd):
                return
            self._before = termios.tcgetattr(fd)
            tty.setcbreak(fd, termios.TCSANOW)
            mode = termios.tcgetattr(fd)
            mode[0] &= ~termios.IXON
            for character in (termios.VSUSP, termios.VQUIT):
                mode[6][character] = _NO_CHARACTER
            termios.tcsetattr(fd, termios.TCSANOW, mode)
        except (OSError, ValueError, AttributeError, termios.error):
            return
        self.keys = fd


_BY_NAME = {name: Style(color=ansi) for name, ansi in ANSI.items()}


def _of_16(segment: Segment) -> Segment:
    """The same in one of a terminal's own 16 colours."""
    style = segment.style
    if style is None or style.color is None or style.color.name not in _BY_NAME:
        return segment
    return Segment(segment.text, style + _BY_NAME[style.color.name], segment.control)


def _is_a_job(fd: int) -> bool:
    """Whether a shell controls this program from that terminal."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def _in_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # no job control here
        return True
