"""Control of a run under way: ends it early, and keeps what its plugins announce."""

from __future__ import annotations

import time

from ksmtrace.sources import Source


class RunControl:
    """Ends a run as if its source had ended, so that it closes what it opened.

    Any thread may call it, and a signal handler too.

    Attributes:
        interrupted: a signal came.
        quitted: the user ended the run, which is a normal end.
        dumps_asked: how often somebody has asked for a dump of the recording.
        urls: where the run's metrics are served, in the order in which they were announced.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.quitted = False
        self.dumps_asked = 0
        self.urls: list[str] = []
        self._source: Source | None = None

    def attach(self, source: Source) -> None:
        """What to end; at once, where the run was ended before it began."""
        self._source = source
        if self.interrupted or self.quitted:
            source.stop()

    def interrupt(self) -> None:
        """End the run because of a signal."""
        self.interrupted = True
        self._stop()

    def quit(self) -> None:
        """End the run because its user wants it."""
        self.quitted = True
        self._stop()

    def ask_for_dump(self) -> None:
        """Have the recording dumped, soon."""
        self.dumps_asked += 1

    def announce(self, url: str) -> None:
        """Make known where the run's metrics are served."""
        self.urls.append(url)

    def wait_for_interrupt(self) -> None:
        """Return when a signal has come."""
        while not self.interrupted:
            time.sleep(0.1)

    def _stop(self) -> None:
        if self._source is not None:
            self._source.stop()
