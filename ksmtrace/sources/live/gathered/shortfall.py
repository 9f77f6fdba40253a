"""What is missing in a batch, and whether that has been counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ksmtrace.sources.live.gathered.batch import Batch
from ksmtrace.sources.live.gathered.chunk import ChunkFlag
from ksmtrace.sources.live.gathered.mm_list import HEAD, MmList
from ksmtrace.sources.live.gathered.population import Population

_NOBODY = Population()

_GONE, _FROM_HEAD = int(ChunkFlag.GONE), int(ChunkFlag.FROM_HEAD)
_PASS_ENDED = int(ChunkFlag.PASS_ENDED)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


class Shortfall:
    """Finds batches that lack something.

    Attributes:
        lossy: something was lost, and no inventory has come since.

    Args:
        pages_to_scan: reads it; None where that fails.
    """

    def __init__(self, pages_to_scan: Callable[[], int | None] = lambda: None) -> None:
        self.lossy = False
        self._pages_to_scan = pages_to_scan
        self._counted: tuple[int, int] | None = None

    def count(
        self,
        batch: Batch,
        items: int,
        before: int,
        strange: int,
        *,
        strict: bool,
        gone: bool,
    ) -> int:
        """How many events a batch lacks that BPF has not counted as lost.

        Args:
            batch: the batch.
            items: how many items it has, with those of mms that exited.
            before: what `missing_before` says of it.
            strange: items that cannot be told, or whose state cannot be.
            strict: whether all items ought to be known: nothing is lost.
            gone: whether ksmd freed all items of some mm, and no tunable was written to.
        """
        header = batch.header
        counted, self._counted = self._counted, (header.pages_scanned, header.pages_skipped)
        missing, known = 0, False
        if header.pages_scanned:
            if counted is not None:
                grown = header.pages_scanned - counted[0] + header.pages_skipped - counted[1]
                missing, known = grown - items, True
        elif gone or batch.late:
            short = short_of_due(batch, items, self._pages_to_scan()) if gone else None
            missing, known = max(short or 0, batch.late), short is not None
        if not strict:
            self.lossy |= batch.cut
            return max(strange, int(batch.cut))
        unsure = batch.unsure and not known
        if not (missing or before or strange or batch.broken or unsure):
            return 0
        self.lossy = True
        return max(1, missing, strange, 0 if header.pages_scanned else before)


def short_of_due(batch: Batch, items: int, due: int | None) -> int | None:
    """How many pages a batch lacks, where the kernel does not count them; None if nobody knows.

    They are as many as pages_to_scan, unless the batch ends a pass.

    Args:
        batch: the batch.
        items: how many it has.
        due: pages_to_scan.
    """
    if due is None or items > due or batch.slept or batch.header.flags & _PASS_ENDED:
        return None
    return due - items


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
