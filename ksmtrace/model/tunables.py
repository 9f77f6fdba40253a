"""The tunables as they stand, whatever they were when the run began."""

from __future__ import annotations

from ksmtrace.events import EventBatch, EventKind, Gauge
from ksmtrace.events.tunable import tunable_writes
from ksmtrace.model.readings import Reading
from ksmtrace.session import Session


class Tunables:
    """Those of the session, and every write since; `pages_to_scan`, which the advisor changes by itself, as last read."""

    def __init__(self) -> None:
        self._since: dict[str, str] = {}

    def apply(self, batch: EventBatch) -> None:
        """Take in the writes of a batch; what the kernel refused, or a record cannot hold, changes nothing."""
        if (batch.kind == EventKind.TUNABLE).any():
            for write in tunable_writes(batch.events):
                if write.whole and not write.err:
                    self._since[write.name] = write.text

    def read(self, reading: Reading) -> None:
        """Take in a reading of the kernel's counters."""
        pages = reading.values.get(Gauge.PAGES_TO_SCAN)
        if pages is not None:
            self._since["pages_to_scan"] = str(pages)

    def now(self, session: Session) -> dict[str, str]:
        """Name to text, those that this kernel has."""
        return {**session.tunables, **self._since}
