"""Batches of ksmd that follow one another with nothing in between: expanded as one.

To expand a batch costs much, whatever is in it; where ksmd is ahead, many wait.
"""

from __future__ import annotations

import numpy as np

from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records
from ksmtrace.sources.live.gathered.batch import Batch
from ksmtrace.sources.live.gathered.chunk import ChunkFlag, SmartScan, Stretch, Walk

_BEGINS_ANEW = int(ChunkFlag.RESET | ChunkFlag.FROM_HEAD | ChunkFlag.GONE)
_PASS_ENDED = int(ChunkFlag.PASS_ENDED)
_TUNABLE_WRITTEN = int(SmartScan.TUNABLE_WRITTEN)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


def follows(batch: Batch, held: Records, before: Batch) -> bool:
    """Whether `batch` is what ksmd would have gone on with in `before`.

    Args:
        batch: the later one.
        held: records of the ring since `before`.
        before: the earlier one.
    """
    header, last = batch.header, before.header
    return (
        not (header.flags & _BEGINS_ANEW or last.flags & _PASS_ENDED)
        and header.seqnr == last.seqnr
        and header.smart_scan == last.smart_scan
        and not header.smart_scan & _TUNABLE_WRITTEN
        and not (batch.broken or before.broken or batch.leaving or before.leaving)
        and _goes_on(before.walk, batch.walk)
        and bool((held["kind"] == EventKind.PROCESS).all())
    )


def as_one(batches: list[Batch]) -> Batch:
    """Batches of which each follows the one before, as if ksmd had slept behind the last only."""
    if len(batches) == 1:
        return batches[0]
    stretches: list[Stretch] = []
    begins: list[tuple[int, int, int]] = []
    first, slept = 0, 0
    for batch in batches:
        walk = batch.walk
        if stretches:
            begins.append((first, slept, batch.header.began))
        own = [
            one._replace(first=one.first + first, stop=one.stop + first) for one in walk.stretches
        ]
        if stretches:
            own[0] = own[0]._replace(behind=stretches[-1].behind, first=stretches[-1].first)
            stretches.pop()
        stretches += own
        first, slept = first + len(walk.vpn), batch.header.ts
    columns = [
        np.concatenate(column) for column in zip(*(one.walk[1:] for one in batches), strict=True)
    ]
    flags = 0
    for batch in batches:
        flags |= batch.header.flags
    header = batches[-1].header._replace(flags=flags, began=batches[0].header.began)
    return Batch(header, Walk(stretches, *columns), [], broken=False, cut=False, slept=begins)


def _goes_on(before: Walk, walk: Walk) -> bool:
    if not (before.stretches and walk.stretches):
        return False
    last, first = before.stretches[-1], walk.stretches[0]
    behind = int(before.vpn[last.stop - 1]) if last.stop > last.first else last.behind
    return (last.mm, behind) == (first.mm, first.behind)
