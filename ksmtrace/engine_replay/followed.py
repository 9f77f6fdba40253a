"""A source of which a comparison with the engine sees every batch."""

from __future__ import annotations

from collections.abc import Iterator

from ksmtrace.engine_replay.replay import EngineReplay
from ksmtrace.events import EventBatch
from ksmtrace.sources import Source


class FollowedSource:
    """A source whose batches a comparison sees as well.

    Attributes:
        session: the source's own.
    """

    def __init__(self, source: Source, replay: EngineReplay) -> None:
        self.session = source.session
        self._source = source
        self._replay = replay

    def batches(self) -> Iterator[EventBatch]:
        """The source's batches, each followed first."""
        for batch in self._source.batches():
            self._replay.apply(batch)
            yield batch
        self._replay.end()

    def stop(self) -> None:
        """Ask the source to end."""
        self._source.stop()

    def close(self) -> None:
        """Close the source."""
        self._source.close()
