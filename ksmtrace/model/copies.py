"""Pages of KSM that were copied: who wrote where, seen at the fault or by what ksmd finds later."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag
from ksmtrace.model.items import Ids, grown
from ksmtrace.model.merge_follower import MergeFollower
from ksmtrace.session import Session

_STABLE_BEFORE, _STABLE_AFTER = int(Flag.STABLE_BEFORE), int(Flag.STABLE_AFTER)
_FREED = int(Flag.FREED)


class Copies:
    """Follows copies of KSM pages from batch to batch.

    Where every COW_FAULT is seen, they are these. Where not, and ksmd's looks at its pages are, a
    copy is derived: ksmd comes to an rmap_item that is still a page of a mergeable area, and its
    page is no longer that of the stable node that it had joined. It has been written to since the
    last look, mostly. That smart scan skips it says so too, since it never skips a KSM page
    (should_skip_rmap_item, 6.7). What is freed (unmapped, exited, run=2, MADV_UNMERGEABLE) is none.

    What derived copies cannot tell: a page that is written to twice between two looks counts once;
    one whose content is back, and which is merged again, before the look counts not at all, nor one
    that is written to and then unmapped; one that was discarded and touched anew, or came back from
    swap, counts though nothing was copied. The time is that of the look, up to a pass late.

    Attributes:
        derived: whether they are derived.
        rows: of the last batch, those that tell of a copy, ascending; the mm, address and time of
            each are the copy's.
        by_kernel: of these rows, whether the kernel broke the sharing itself; derived ones never.
    """

    def __init__(self, session: Session) -> None:
        self.derived = session.derives_writes
        self._seen = session.sees(EventKind.COW_FAULT)
        self.rows: Ids = np.zeros(0, dtype=np.int64)
        self.by_kernel: npt.NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._follower = MergeFollower()
        self._joins = np.zeros(0, dtype=bool)  # of the batch at hand; else all False

    def apply(self, batch: EventBatch, ids: Ids, born: Ids, capacity: int) -> None:
        """Follow a batch.

        Args:
            batch: the events.
            ids: the number of each one's rmap_item, -1 for none.
            born: the numbers given in this batch.
            capacity: every number is below this.
        """
        if not self._seen and not self.derived:
            return
        if self._seen:
            self.rows = batch.rows(kinds.COW_FAULT)
            self.by_kernel = batch.flags[self.rows] & int(Flag.BY_KERNEL) != 0
            return
        self._follower.grow(capacity)
        self._joins = grown(self._joins, capacity)
        self._follower.begin(born)
        if batch.lost:
            self._follower.forget()
        self.rows = self._departures(batch, ids)
        self.by_kernel = np.zeros(len(self.rows), dtype=bool)

    def pass_over(self) -> None:
        """The batch at hand tells of none."""
        self.rows, self.by_kernel = self.rows[:0], self.by_kernel[:0]

    def _departures(self, batch: EventBatch, ids: Ids) -> Ids:
        examined = batch.rows(kinds.CMP_AND_MERGE_PAGE)
        flags = batch.flags_of(kinds.CMP_AND_MERGE_PAGE)
        there, stable = flags & _FREED == 0, flags & _STABLE_AFTER != 0
        removed = batch.rows(kinds.REMOVE_RMAP_ITEM)
        flags = batch.flags_of(kinds.REMOVE_RMAP_ITEM)
        leaves, freed = flags & _STABLE_BEFORE != 0, flags & _FREED != 0
        joins = _known(batch.rows(kinds.STABLE_APPEND), ids)
        stays = _known(examined[there & stable], ids)
        stays = stays[~self._follower.merged[ids[stays]]]
        begins = np.concatenate([joins, stays])
        # What is merged, or was until this batch, can be found to have left without a removal: its
        # node had gone first. A skip comes before the removal, if there is one.
        found_out = [examined[there & ~stable], batch.rows(kinds.SKIPPED), removed[~leaves]]
        silent = _known(np.concatenate(found_out), ids)
        self._joins[ids[begins]] = True
        silent = silent[self._follower.merged[ids[silent]] | self._joins[ids[silent]]]
        self._joins[ids[begins]] = False
        rows = np.concatenate([begins, _known(removed[leaves], ids), silent])
        is_begin = np.arange(len(rows)) < len(begins)
        found = self._follower.follow(rows, ids[rows], batch.events["ts"][rows], is_begin)
        gone = found.rows
        at_removal, flags = batch.where(kinds.REMOVE_RMAP_ITEM)[gone], batch.flags[gone]
        copied = found.known | (at_removal & (flags & _STABLE_BEFORE != 0) & ~found.left)
        copied &= ~(at_removal & (flags & _FREED != 0))
        # A page that is found where it should be has not left.
        at_look = batch.where(kinds.CMP_AND_MERGE_PAGE)[gone]
        copied &= ~(at_look & (flags & _STABLE_AFTER != 0))
        unknown = removed[leaves & ~freed & (ids[removed] < 0)]
        return np.sort(np.concatenate([gone[copied], unknown]))


def _known(rows: Ids, ids: Ids) -> Ids:
    """Those of these rows of which the rmap_item is known."""
    return rows[ids[rows] >= 0]
