"""Where events come from: a live kernel, a capture, or a run of the reference engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ksmtrace.events.batch import EventBatch
from ksmtrace.session import Session


class Source(Protocol):
    """A stream of batches with the facts about it.

    The stream begins with what was merged before (SNAPSHOT records, if anything) and a reading of
    the kernel's counters (SAMPLE records) and, unless it was cut, ends with a reading.
    """

    session: Session

    def batches(self) -> Iterator[EventBatch]:
        """The batches, none so large that what is due must wait for long until it is through.

        An empty one now and then lets the pipeline do what is due though no event comes.
        """
        ...

    def stop(self) -> None:
        """Ask the stream to end soon; may be called from a signal handler."""
        ...

    def close(self) -> None:
        """Release what the source holds; probes are gone afterwards."""
        ...
