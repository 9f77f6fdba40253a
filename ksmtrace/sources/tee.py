"""A source whose batches something else sees as well, before they are handed on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ksmtrace.events import EventBatch
from ksmtrace.sources import Source


class BatchTaker(Protocol):
    """What is given every batch of a source."""

    def apply(self, batch: EventBatch) -> None:
        """Take the next batch."""

    def end(self) -> None:
        """There are no more."""


class Tee:
    """A source that gives each batch to `taker` first.

    Attributes:
        session: the source's own.
    """

    def __init__(self, source: Source, taker: BatchTaker) -> None:
        self.session = source.session
        self._source = source
        self._taker = taker

    def batches(self) -> Iterator[EventBatch]:
        """The source's batches."""
        for batch in self._source.batches():
            self._taker.apply(batch)
            yield batch
        self._taker.end()

    def stop(self) -> None:
        """Ask the source to end."""
        self._source.stop()

    def close(self) -> None:
        """Close the source."""
        self._source.close()
