"""Runs the command on a real pseudo-terminal, and reads what is drawn on its screen."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from typing import Self

import pyte


def _environment(env: dict | None) -> dict:
    environment = {**(env or os.environ), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    for name in ("COLUMNS", "LINES", *(("NO_COLOR",) if env is None else ())):
        environment.pop(name, None)
    return environment


class OnTerminal:
    """A command on a terminal of its own, while the context lasts.

    Attributes:
        drawn: all that it wrote to the terminal so far.
        modes: of the terminal before the command began.
    """

    def __init__(
        self, command: list[str], *, columns: int, lines: int, env: dict | None = None
    ) -> None:
        self.drawn = b""
        self._ours, self._theirs = pty.openpty()
        self._emulated = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._emulated)
        self._set_size(columns, lines)
        self.modes = termios.tcgetattr(self._theirs)
        self.process = subprocess.Popen(
            command,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=subprocess.PIPE,
            env=_environment(env),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self._theirs)
        os.close(self._ours)

    def modes_now(self) -> list:
        return termios.tcgetattr(self._theirs)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, lines: int) -> None:
        self._emulated.resize(lines, columns)
        self._set_size(columns, lines)

    def screen(self, seconds: float = 0.1) -> list[str]:
        """The lines on the screen, after so many seconds more."""
        self._read(seconds)
        return list(self._emulated.display)

    def wait_for(self, *words: str, without: str | None = None, seconds: float = 90) -> list[str]:
        """The screen, once all these words are on it and `without` is not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            shown = self.screen()
            text = "\n".join(shown)
            if all(word in text for word in words) and (without is None or without not in text):
                return shown
        raise AssertionError(f"not on the screen: {words}, or on it: {without}\n" + text)

    def end(self, seconds: float = 120) -> tuple[int, str, str]:
        """Exit status, what was drawn, and stderr, once the command has ended."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        self._read(0.2)
        status = self.process.wait(timeout=1)
        errors = self.process.stderr.read().decode()
        return status, self.drawn.decode("utf-8", "replace"), errors

    def _set_size(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def _read(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._ours], [], [], left)[0]:
                piece = os.read(self._ours, 65536)
                self.drawn += piece
                self._stream.feed(piece)


def on_terminal(
    command: list[str], *, columns: int, lines: int, env: dict | None = None
) -> tuple[int, str]:
    """(exit status, everything written to the terminal) of `command` on a terminal of that size."""
    with OnTerminal(command, columns=columns, lines=lines, env=env) as run:
        status, drawn, _ = run.end(seconds=60)
    return status, drawn
