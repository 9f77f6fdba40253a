"""Code of other packages: what it prints is no answer, and it leaves the process as it was."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, TextIO

from ksmtrace.lines import say

MOST_LINES = 20
"""Lines of one plugin that are passed on."""

_OWN = "ksmtrace."


def is_foreign(code: object) -> bool:
    """Whether a function, or a class, is of another package."""
    return not str(getattr(code, "__module__", "")).startswith(_OWN)


def keep_descriptor_1() -> None:
    """Move standard output to a descriptor of our own; what is written to 1 goes to stderr.

    Libraries in C, child processes and threads that a plugin has left behind write to descriptor 1,
    or close it. Does nothing where standard output is somewhere else.
    """
    stdout = sys.stdout
    if stdout is not sys.__stdout__ or not isinstance(stdout, io.TextIOWrapper):
        return
    if stdout.closed or stdout.fileno() != 1:
        return
    stdout.flush()
    binary = open(os.dup(1), "wb")  # noqa: SIM115 - it is open to the end
    sys.stdout = io.TextIOWrapper(
        binary,
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=stdout.line_buffering,
    )
    os.dup2(2, 1)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@contextmanager
def staying() -> Iterator[None]:
    """Run foreign code that can neither end this process by `os._exit`, nor become two of us.

    A child that it forks and lets return ends here. Handlers of signals are afterwards what they
    were: by them a run is ended.

    Raises:
        SystemExit: it called `os._exit`.
    """
    ours, end = os.getpid(), os._exit

    def leave(status: int) -> NoReturn:
        if os.getpid() == ours:
            raise SystemExit(status)
        end(status)

    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS} if main else {}
    os._exit = leave
    try:
        yield
    finally:
        if os.getpid() != ours:
            end(0)
        os._exit = end
        for number, handler in handlers.items():
            # one that was not set from Python is None, and cannot be set again
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


class Prints:
    """What plugins printed so far, by name: some lines of each are passed on to stderr."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}

    @contextmanager
    def kept_from_stdout(self, name: str) -> Iterator[None]:
        """Have what this thread prints meanwhile said on stderr, as the plugin's of this name.

        Other threads print as before: one draws the screen.
        """
        real = sys.stdout
        stand_in = _StandIn(real)
        sys.stdout = stand_in
        try:
            yield
        finally:
            # unless it has been replaced for good, which is the plugin's doing
            sys.stdout = real
            for line in stand_in.caught.getvalue().splitlines():
                self._pass_on(name, line)

    def _pass_on(self, name: str, line: str) -> None:
        count = self._lines[name] = self._lines.get(name, 0) + 1
        if count <= MOST_LINES:
            say(f"plugin {name!r} prints: {line}")
        elif count == MOST_LINES + 1:
            say(f"plugin {name!r} prints more, which is left out")


class _StandIn:
    """A stdout that keeps what one thread writes to it, and else is the real one."""

    def __init__(self, real: TextIO) -> None:
        self.caught = io.StringIO()
        self._real = real
        self._thread = threading.get_ident()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any part of a stdout
        return getattr(self._real, name)

    @property
    def _ours(self) -> bool:
        return threading.get_ident() == self._thread

    @property
    def buffer(self) -> Any:  # noqa: ANN401 - as of sys.stdout
        """What takes bytes."""
        return _Bytes(self.caught) if self._ours else self._real.buffer

    def write(self, text: str) -> int:
        """Keep it, or write it."""
        return self.caught.write(text) if self._ours else self._real.write(text)

    def close(self) -> None:
        """Nothing: what follows is to be printed still."""

    def writelines(self, lines: Iterable[str]) -> None:
        """Keep them, or write them."""
        for line in lines:
            self.write(line)


class _Bytes(io.RawIOBase):
    def __init__(self, caught: io.StringIO) -> None:
        self._caught = caught

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 - any buffer
        self._caught.write(bytes(data).decode(errors="replace"))
        return len(data)
