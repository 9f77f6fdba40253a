"""The thread that draws and listens to keys; it touches pictures and nothing else of the run."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

from rich.console import Console

from ksmtrace.plugins.tui.frame import frame
from ksmtrace.plugins.tui.keys import keys
from ksmtrace.plugins.tui.picture import Picture
from ksmtrace.plugins.tui.terminal import Terminal
from ksmtrace.plugins.tui.view_state import ViewState

_GLANCE_SECONDS = 0.25
_FRAME_SECONDS = 0.05
_READ_BYTES = 1024


class Screen:
    """Draws the latest picture, or while paused the one that was there, as keys ask for.

    Args:
        console: where to draw.
        picture: the first.
        quit_run: called, in the screen's thread, when q is pressed.
    """

    def __init__(self, console: Console, picture: Picture, quit_run: Callable[[], None]) -> None:
        self.state = ViewState()
        self._console = console
        self._terminal = Terminal(console)
        self._quit_run = quit_run
        self._latest = self._shown = picture
        self._failure: BaseException | None = None
        self._stopping = False
        self._ours, self._theirs = os.pipe()
        self._thread = threading.Thread(target=self._run, name="ksmtrace-screen", daemon=True)
        self._terminal.enter()
        self._thread.start()

    def show(self, picture: Picture) -> None:
        """A newer picture.

        Raises:
            Exception: the thread failed, and has given the terminal back.
        """
        if self._failure is not None:
            raise self._failure
        self._latest = picture
        self._wake()

    def wait_for_q(self, interrupted: Callable[[], bool]) -> None:
        """Return when q was pressed, `interrupted()` is true, or nobody can press anything."""
        while self._thread.is_alive() and self._terminal.keys is not None:
            if self.state.ended or interrupted():
                return
            time.sleep(_FRAME_SECONDS)

    def stop(self) -> None:
        """End the thread and give the terminal back; may be called twice."""
        self._stopping = True
        if self._thread.is_alive():
            self._wake()
            self._thread.join(timeout=2)
        self._terminal.leave()
        for fd in (self._ours, self._theirs):
            if fd >= 0:
                os.close(fd)
        self._ours = self._theirs = -1

    def _wake(self) -> None:
        os.write(self._theirs, b".")

    def _run(self) -> None:
        try:
            drawn: object = None
            while not self._stopping:
                size = self._terminal.size()
                if not self.state.paused:
                    self._shown = self._latest
                now = (self._shown, repr(self.state), size, self._latest.final)
                if now != drawn:
                    drawn = now
                    self._draw(size)
                    time.sleep(_FRAME_SECONDS)
                self._listen(size)
        except BaseException as error:  # noqa: BLE001 - raised again in the run's thread
            self._failure = error
            self._terminal.leave()

    def _draw(self, size: tuple[int, int]) -> None:
        listens = self._terminal.keys is not None
        over = self._latest.final
        lines = frame(self._console, self._shown, self.state, size, listens=listens, over=over)
        self._terminal.draw(lines, size)

    def _listen(self, size: tuple[int, int]) -> None:
        typed = self._terminal.keys
        watched = [self._ours] if typed is None else [self._ours, typed]
        ready, _, _ = select.select(watched, [], [], _GLANCE_SECONDS)
        if self._ours in ready:
            os.read(self._ours, _READ_BYTES)
        if typed is None or typed not in ready:
            return
        received = os.read(typed, _READ_BYTES)
        if not received:  # the terminal has hung up
            self._terminal.keys = None
        for key in keys(received):
            self.state.press(key, self._shown.views(), page=max(1, size[1] - 4))
        if self.state.ended:
            self._quit_run()
