"""What is missing in a batch, and whether that has been counted."""

from __future__ import annotations

from collections.abc import Mapping

from ksmtrace.sources.live.gathered.batch import Batch
from ksmtrace.sources.live.gathered.chunk import ChunkFlag
from ksmtrace.sources.live.gathered.mm_list import HEAD, MmList
from ksmtrace.sources.live.gathered.population import Population

_NOBODY = Population()

_GONE, _FROM_HEAD = int(ChunkFlag.GONE), int(ChunkFlag.FROM_HEAD)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


class Shortfall:
    """Finds batches that lack something.

    Attributes:
        lossy: something was lost, and no inventory has come since.
    """

    def __init__(self) -> None:
        self.lossy = False
        self._counted: tuple[int, int] | None = None

    def count(self, batch: Batch, items: int, before: int, strange: int, *, strict: bool) -> int:
        """How many events a batch lacks that BPF has not counted as lost.

        Args:
            batch: the batch.
            items: how many items it has, with those of mms that exited.
            before: what `missing_before` says of it.
            strange: items that cannot be told, or whose state cannot be.
            strict: whether all items ought to be known: nothing is lost.
        """
        header = batch.header
        counted, self._counted = self._counted, (header.pages_scanned, header.pages_skipped)
        missing = 0
        if counted is not None and header.pages_scanned:
            grown = header.pages_scanned - counted[0] + header.pages_skipped - counted[1]
            missing = grown - items
        if not strict:
            self.lossy |= batch.cut
            return max(strange, int(batch.cut))
        if not (missing or before or strange or batch.broken):
            return 0
        self.lossy = True
        return max(1, missing if header.pages_scanned else before, strange)


def missing_before(
    batch: Batch, cursor: tuple[int, int], order: MmList, populations: Mapping[int, Population]
) -> int:
    """Known items between where the last batch ended and where this one begins, at least 1.

    0 where it begins where the last one ended.

    Args:
        batch: the batch.
        cursor: mm and page at which the last one ended.
        order: the mms.
        populations: the items.
    """
    flags = batch.header.flags
    mm, vpn = cursor
    if flags & _GONE or not batch.walk.stretches:
        return 0
    first = batch.walk.stretches[0]
    following = list(order.following(mm)) if mm in order else []
    if flags & _FROM_HEAD:
        if mm == HEAD:
            return 0
        between = [mm, *following]
    elif (mm, vpn) == (first.mm, first.behind):
        return 0
    elif mm == first.mm:
        population = populations.get(mm, _NOBODY)
        return max(1, population.behind(first.behind) - population.behind(vpn))
    else:
        between = following[: following.index(first.mm)] if first.mm in following else []
    return max(1, sum(len(populations.get(one, _NOBODY)) for one in between))
