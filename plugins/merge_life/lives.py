"""The life of each rmap_item: the stages that it reaches, and how long it takes to be merged."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.cut import ends_a_part
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import true_rows
from ksmtrace.model.items import Ids, ItemTable, grown
from ksmtrace.model.log_histogram import GEOMETRIC, LogHistogram
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.merge_life.merge_spans import MergeSpans

STAGES = ("seen", "candidate", "merged", "broken", "gone")

MOST_PASSES = 8
"""Latencies of more passes are counted together."""

PASS_NAMES = (*map(str, range(1, MOST_PASSES + 1)), "more")
"""Latencies in passes, as they are named in the JSON document."""

LATENCY_BUCKETS = tuple(4.0**exponent for exponent in range(-4, 9))
"""Upper bounds in seconds, 4 ms to 18 hours."""

BUCKET_NAMES = (*(f"{bound:g}" for bound in LATENCY_BUCKETS), "more")
"""Latencies in seconds, as they are named in the JSON document."""

_KNOWN, _WAITED, _MERGED, _BROKEN = 1, 2, 4, 8
_UNSTABLE_AFTER, _FREED = int(Flag.UNSTABLE_AFTER), int(Flag.FREED)


class Lives:
    """Counts rmap_items by the stages reached, and latencies of those surely new when first seen.

    Surely new is what is first seen after KSM was empty, or after a whole pass without a loss.

    Attributes:
        counts: rmap_items that reached each of `STAGES`.
        cut: those of them that were alive at a loss and were met again since.
        latency: from first sight to first STABLE_APPEND.
        latency_passes: the same in passes, the first look's included: [0] for 1; the last for more
            than MOST_PASSES.
        spans: how long merges last.
    """

    def __init__(self) -> None:
        self.counts = dict.fromkeys(STAGES, 0)
        self.cut = 0
        self.latency = LogHistogram(GEOMETRIC)
        self.latency_passes = np.zeros(MOST_PASSES + 1, dtype=np.int64)
        self.spans = MergeSpans()
        self._items: ItemTable | None = None
        self._stage = np.zeros(0, dtype=np.uint8)  # these three by number of rmap_item
        self._first_ns = np.zeros(0, dtype=np.int64)
        self._first_pass = np.zeros(0, dtype=np.int64)
        self._pass = 0
        self._pass_whole = False
        self._all_known = False
        self._now_ns = 0

    def lasting(self) -> LogHistogram:
        """How long merges have lasted that have not ended, or that a loss cut off.

        As of the last end of a pass, or reading.
        """
        return self.spans.unended(self._now_ns)

    def latency_counts(self) -> list[int]:
        """Latencies by bucket: up to each of `LATENCY_BUCKETS`, the last above all of them."""
        counted = [0, *self.latency.within(LATENCY_BUCKETS), len(self.latency)]
        return [after - before for before, after in pairwise(counted)]

    def apply(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Follow a batch as the runner cuts them."""
        items, ids = reconstruction.items, reconstruction.ids
        if ends_a_part(batch):  # elsewhere a replay may cut, and the live run not
            self._now_ns = max(self._now_ns, int(batch.events["ts"][-1]))
        if batch.kind[-1] == kinds.LOST:
            self._lose(forgotten=items is not self._items)
        self._items = items
        self._grow(items.capacity)
        if batch.only_counters:
            self._all_known |= reconstruction.complete
            return
        starts = batch.rows(kinds.SCAN_START)
        if len(items.born):
            self._meet(batch, ids, items.born, starts)
        self._see_candidates(batch, ids)
        self._see_merges(batch, ids, starts)
        broken = self.spans.apply(batch, ids, items.capacity)
        self.counts["broken"] += len(self._reach(broken, _BROKEN))
        self.counts["gone"] += len(items.freed)
        self._pass += len(starts)
        self._pass_whole |= len(starts) > 0
        stopped = bool(batch.kind[-1] == kinds.SCAN_STOP)
        self._all_known |= reconstruction.complete or (stopped and self._pass_whole)

    def _grow(self, capacity: int) -> None:
        self._stage = grown(self._stage, capacity)
        self._first_ns = grown(self._first_ns, capacity)
        self._first_pass = grown(self._first_pass, capacity)

    def _meet(self, batch: EventBatch, ids: Ids, born: Ids, starts: Ids) -> None:
        new = np.zeros(len(self._stage), dtype=bool)
        new[born] = True
        rows = true_rows(ids >= 0)
        rows = rows[new[ids[rows]]][
            ::-1
        ]  # the last that is written counts: that of the first event
        self._first_ns[ids[rows]] = batch.events["ts"][rows]
        self._first_pass[ids[rows]] = self._pass + np.searchsorted(starts, rows)
        self._stage[born] = _KNOWN if self._all_known else 0
        self.counts["seen"] += len(born)

    def _see_candidates(self, batch: EventBatch, ids: Ids) -> None:
        flags = batch.flags_of(kinds.CMP_AND_MERGE_PAGE)
        waits = flags & (_UNSTABLE_AFTER | _FREED) == _UNSTABLE_AFTER
        items = ids[batch.rows(kinds.CMP_AND_MERGE_PAGE)[waits]]
        self.counts["candidate"] += len(self._reach(items[items >= 0], _WAITED))

    def _see_merges(self, batch: EventBatch, ids: Ids, starts: Ids) -> None:
        rows = batch.rows(kinds.STABLE_APPEND)
        rows = rows[ids[rows] >= 0]
        if not len(rows):
            return
        items, first = np.unique(ids[rows], return_index=True)
        rows = rows[first]
        measured = self._stage[items] & (_KNOWN | _MERGED) == _KNOWN
        self.counts["merged"] += len(self._reach(items, _MERGED))
        items, rows = items[measured], rows[measured]
        self.latency.add(batch.events["ts"][rows].astype(np.int64) - self._first_ns[items])
        passes = self._pass + np.searchsorted(starts, rows) - self._first_pass[items]
        passes = np.minimum(passes, MOST_PASSES)
        self.latency_passes += np.bincount(passes, minlength=MOST_PASSES + 1)

    def _reach(self, items: Ids, stage: int) -> Ids:
        """Mark rmap_items; those that had not the mark, each once."""
        fresh: Ids = items[self._stage[items] & stage == 0]
        if not len(fresh):
            return fresh
        fresh = np.unique(fresh)
        self._stage[fresh] |= stage
        return fresh

    def _lose(self, *, forgotten: bool) -> None:
        self._stage &= ~np.uint8(_KNOWN)  # they may have been merged meanwhile
        if forgotten:
            self._stage[:] = 0
            self.cut = self.counts["seen"] - self.counts["gone"]
        self.spans.lose(self._now_ns)
        self._pass_whole = self._all_known = False
