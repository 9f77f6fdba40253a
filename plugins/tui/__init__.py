"""Sink: draws the run on the terminal while it lasts; also the text that ends a run."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from ksmtrace import hookimpl
from ksmtrace.plugins.tui.screen import plain_text, render

if TYPE_CHECKING:
    from ksmtrace.pipeline.snapshot import Snapshot

__all__ = ["Plugin", "plain_text", "render"]


class Plugin:
    """Draws on the alternate screen, so that the terminal is afterwards as it was; the verb prints the outcome.

    Args:
        console: where to draw; the terminal on stdout if None.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self._wanted = False
        self._live: Live | None = None

    @hookimpl
    def ksmtrace_session_start(self, options: Namespace) -> None:
        """See whether this run has a screen."""
        self._wanted = bool(getattr(options, "tui", False))

    @hookimpl
    def ksmtrace_publish(self, snapshot: Snapshot) -> None:
        """Draw; the final state belongs to the verb, which prints it where it stays."""
        if snapshot.final or not self._wanted:
            self._stop()
            return
        try:
            self._draw(snapshot)
        except BaseException:
            # A plugin that raised is called no more, not even to finish: leave the terminal usable now.
            self._stop()
            raise

    @hookimpl
    def ksmtrace_session_finish(self) -> None:
        """Give the terminal back."""
        self._stop()

    def _draw(self, snapshot: Snapshot) -> None:
        if self._live is None:
            # Started at the first picture, not before: a replay may be over before there is one to see.
            self._live = Live(console=self._console or Console(), screen=True, auto_refresh=False)
            self._live.start()
        self._live.update(render(snapshot), refresh=True)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
