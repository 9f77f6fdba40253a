"""The thread that draws and listens to keys; it touches pictures and nothing else of the run."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable

from rich.console import Console

from ksmtrace.plugins.tui.frame import Lines, frame, pressed_at
from ksmtrace.plugins.tui.history import History
from ksmtrace.plugins.tui.keys import keys
from ksmtrace.plugins.tui.picture import Picture
from ksmtrace.plugins.tui.terminal import Terminal
from ksmtrace.plugins.tui.view_state import Choices, ViewState

_GLANCE_SECONDS = 0.25
_FRAME_SECONDS = 0.05
_READ_BYTES = 1024


class Screen:
    """Draws the latest picture, or while paused the one that was there, as keys ask for.

    Args:
        console: where to draw.
        picture: the first.
        quit_run: called, in the screen's thread, when q is pressed.
        history: pictures of passes to look back at.
    """

    def __init__(
        self,
        console: Console,
        picture: Picture,
        quit_run: Callable[[], None],
        history: History | None = None,
    ) -> None:
        self.state = ViewState()
        self._history = history or History()
        self._lines: Lines = []
        self._console = console
        self._terminal = Terminal(console)
        self._quit_run = quit_run
        self._latest = self._shown = picture
        self._failure: BaseException | None = None
        self._stopping = self._looked_back = False
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
                self._terminal.take_mouse(take=self.state.mouse)
                self._choose()
                now = (self._shown, repr(self.state), size, self._latest.final)
                if now != drawn:
                    drawn = now
                    self._draw(size)
                    time.sleep(_FRAME_SECONDS)
                self._listen(size)
        except BaseException as error:  # noqa: BLE001 - raised again in the run's thread
            self._failure = error
            self._terminal.leave()

    def _choose(self) -> None:
        """The pass that is looked back at, while paused what was there, else the latest."""
        if self.state.at is not None:
            self._shown = self._history.at(self.state.at) or self._latest
        elif not self.state.paused or self._looked_back:
            self._shown = self._latest
        self._looked_back = self.state.at is not None

    def _draw(self, size: tuple[int, int]) -> None:
        listens = self._terminal.keys is not None
        over = self._latest.final
        passes = self._latest.document["passes"]
        self._lines = frame(
            *(self._console, self._shown, self.state, size),
            listens=listens,
            over=over,
            passes=passes,
        )
        self._terminal.draw(self._lines, size)

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
            choices = Choices(
                self._shown.views(),
                max(1, size[1] - 4),
                [name for name, _ in self._shown.processes(self.state.needle)],
                self._history.passes,
            )
            if pressed := pressed_at(self._lines, key) if key.startswith("click ") else key:
                self.state.press(pressed, choices)
        if self.state.suspending:
            self.state.suspending = False
            self._terminal.suspend()
        if self.state.ended:
            self._quit_run()
