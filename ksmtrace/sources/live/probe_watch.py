"""Takes samples of what the probes cost now and then, and holds them against the budget."""

from __future__ import annotations

from ksmtrace.events.record import Records, empty_records
from ksmtrace.sources.live.budget import FIRST_SECONDS, SAMPLE_SECONDS, Budget
from ksmtrace.sources.live.probe_timer import ProbeTimer


class ProbeWatch:
    """Called again and again while the run goes on.

    Attributes:
        budget: what the samples are held against.
    """

    def __init__(self, timer: ProbeTimer, budget: Budget, now: float) -> None:
        """Let the first sample begin soon after `now`, in seconds of time.monotonic()."""
        self.budget = budget
        self._timer = timer
        self._due = now + FIRST_SECONDS
        self._sampling = False

    def look(self, now: float) -> Records:
        """Begin or end a sample, where one is due; a PROBE_TIME record of one that ended."""
        if now < self._due:
            return empty_records()
        if not self._sampling:
            self._timer.begin()
            self._sampling = True
            self._due = now + SAMPLE_SECONDS
            return empty_records()
        return self._end(now)

    def finish(self) -> Records:
        """End for good: what a sample under way has found, where it is long enough to tell."""
        records = self._end(self._due) if self._sampling else empty_records()
        self._timer.close()
        return records

    def _end(self, now: float) -> Records:
        self._sampling = False
        sample = self._timer.end()
        self.budget.take(sample.ratio)
        self._due = now + self.budget.wait_seconds
        return sample.to_records()
