"""Sink: the screen of a run while it lasts, with keys; in text.py the text that ends a run."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ksmtrace import hookimpl
from ksmtrace.pipeline.control import RunControl
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.plugins.tui.history import History
from ksmtrace.plugins.tui.picture import Picture

if TYPE_CHECKING:
    from rich.console import Console

    from ksmtrace.pipeline.snapshot import Snapshot
    from ksmtrace.plugins.tui.loop import Screen

_HISTORY_SHARE = 0.1
"""Of the time that pictures to look back at may take, except where the screen is held."""


class Plugin:
    """Draws on the alternate screen, so that the terminal is as before when the run is over.

    The verb prints the outcome.

    Args:
        console: where to draw; the terminal on stdout if None.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._options = RunOptions()
        self._control = RunControl()
        self._screen: Screen | None = None
        self._history = History()
        self._looked_back_until = 0.0

    @hookimpl
    def ksmtrace_session_start(self, options: RunOptions, control: RunControl) -> None:
        """Take the options: whether there is a screen, and whether it stays at the end."""
        self._options, self._control = options, control

    @hookimpl
    def ksmtrace_after_pass(self, snapshot: Snapshot) -> None:
        """Keep a picture of it to look back at, where somebody will and time allows."""
        wanted = self._options.tui and (self._screen is not None or self._options.hold)
        began = time.monotonic()
        if not wanted or not self._history.wants() or began < self._looked_back_until:
            return
        self._history.add(snapshot.document["passes"], Picture.of(snapshot))
        ended = time.monotonic()
        if not self._options.hold:
            self._looked_back_until = ended + (ended - began) / _HISTORY_SHARE

    @hookimpl
    def ksmtrace_publish(self, snapshot: Snapshot) -> None:
        """Draw. The final state is the verb's to print; on hold or paused, wait for q first."""
        try:
            self._publish(snapshot)
        except BaseException:
            # A plugin that raised is not called again, even to finish: give the terminal back now.
            self._stop()
            raise

    @hookimpl
    def ksmtrace_session_finish(self) -> None:
        """Give the terminal back."""
        self._stop()

    def _publish(self, snapshot: Snapshot) -> None:
        if not self._options.tui:
            return
        if not snapshot.final or self._options.hold or self._screen is not None:
            self._show(Picture.of(snapshot))
        if snapshot.final:
            screen = self._screen
            if screen is not None and (self._options.hold or screen.state.paused):
                screen.wait_for_q(lambda: self._control.interrupted)
            self._stop()

    def _show(self, picture: Picture) -> None:
        if self._screen is None:
            # Started, and loaded, at the first picture: a replay may be over before there is one
            # to see, and most runs have no screen.
            from rich.console import Console

            from ksmtrace.plugins.tui.loop import Screen

            console, control = self._console or Console(), self._control
            self._screen = Screen(console, picture, control.quit, self._history)
        else:
            self._screen.show(picture)

    def _stop(self) -> None:
        screen, self._screen = self._screen, None
        if screen is not None:
            screen.stop()
