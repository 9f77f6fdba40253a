"""Batches of ksmd that follow one another with nothing in between: expanded as one.

To expand a batch costs much, whatever is in it; where ksmd is ahead, many wait.
"""

from __future__ import annotations

import numpy as np

from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import Records
from ksmtrace.sources.live.gathered.batch import Batch, Gathered, is_placed
from ksmtrace.sources.live.gathered.chunk import ChunkFlag, SmartScan, Stretch, Walk, read_words

_BEGINS_ANEW = int(ChunkFlag.RESET | ChunkFlag.FROM_HEAD | ChunkFlag.GONE)
_TUNABLE_WRITTEN = int(SmartScan.TUNABLE_WRITTEN)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


def follows(batch: Gathered, held: Records, before: Gathered) -> bool:
    """Whether `batch` may be what ksmd would have gone on with in `before`.

    Args:
        batch: the later one.
        held: records of the ring since `before`.
        before: the earlier one.
    """
    header, last = batch.header, before.header
    return (
        not header.flags & _BEGINS_ANEW
        and header.seqnr == last.seqnr
        and header.smart_scan == last.smart_scan
        and not header.smart_scan & _TUNABLE_WRITTEN
        and _is_plain(batch)
        and _is_plain(before)
        and (not len(held) or bool((held["kind"] == kinds.PROCESS).all()))
    )


def _is_plain(batch: Gathered) -> bool:
    return not (batch.broken or batch.leaving or batch.unsure or batch.late)


def as_one(batches: list[Gathered]) -> Batch | None:
    """Batches, each of which may follow the one before, as if ksmd had slept behind the last only.

    None where one does not begin where the one before has ended, or mms lingered behind one.
    """
    walk = read_words(np.concatenate([words for batch in batches for words in batch.words]))
    begins = np.cumsum([sum(batch.items) for batch in batches]).tolist()
    stretches = _without_breaks(walk, begins[:-1])
    if stretches is None or len(walk.vpn) != begins[-1] or walk.lingering or not is_placed(walk):
        return None
    slept = [
        (begin, before.header.ts, batch.header.began)
        for begin, before, batch in zip(begins, batches, batches[1:], strict=False)
    ]
    flags = 0
    for batch in batches:
        flags |= batch.header.flags
    header = batches[-1].header._replace(flags=flags, began=batches[0].header.began)
    whole = walk._replace(stretches=stretches)
    return Batch(header, whole, [], broken=False, cut=False, slept=slept)


def _without_breaks(walk: Walk, begins: list[int]) -> list[Stretch] | None:
    """The stretches, each with that which goes on with it at one of `begins`."""
    found: list[Stretch] = []
    waiting = iter(begins)
    begin = next(waiting, None)
    for one in walk.stretches:
        last = found[-1] if found else None
        if last is not None and one.first == begin and one.mm == last.mm:
            behind = int(walk.vpn[last.stop - 1]) if last.stop > last.first else last.behind
            if one.behind == behind:
                one = found.pop()._replace(ended=one.ended, stop=one.stop)
                begin = next(waiting, None)
        found.append(one)
    return found if begin is None else None
