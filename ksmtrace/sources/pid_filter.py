"""Limits a source to some processes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.sources import Source


class PidFilter:
    """The events of another source that belong to some processes, or to none.

    Passes, counters and losses belong to none. Totals are of all processes, and left out. The
    kernel's records name the mm; PROCESS records, which come before the first page of an mm, name
    its process.
    """

    def __init__(self, source: Source, pids: Collection[int]) -> None:
        self._source = source
        self._pids = np.array(sorted(set(pids)), dtype=np.uint64)
        self._mms: set[int] = set()
        self._seen: set[int] = set()
        self.session = replace(source.session, only_pids=tuple(self._pids.tolist()))

    @property
    def unseen(self) -> list[int]:
        """Those of the processes of which no event has been seen; none where processes are not."""
        if not self.session.sees(EventKind.PROCESS):
            return []
        return sorted(set(self._pids.tolist()) - self._seen)

    def batches(self) -> Iterator[EventBatch]:
        """The batches, without what belongs to other processes."""
        for batch in self._source.batches():
            yield self._limited(batch)

    def stop(self) -> None:
        """Ask the source to end soon."""
        self._source.stop()

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _limited(self, batch: EventBatch) -> EventBatch:
        named = batch.of(EventKind.PROCESS)
        ours = np.isin(named["aux"], self._pids)
        self._mms.difference_update(named["mm"][~ours].tolist())
        self._mms.update(named["mm"][ours].tolist())
        self._seen.update(named["aux"][ours].tolist())
        mm = batch.events["mm"]
        kept = (mm == 0) | np.isin(mm, np.array(sorted(self._mms), dtype=np.uint64))
        kept &= batch.kind != EventKind.TOTAL
        return batch if kept.all() else EventBatch(batch.events[kept])
