"""The records of a stretch, all at once."""

from __future__ import annotations

import numpy as np

from ksmtrace.engine.stretch import Stretch
from ksmtrace.events import EventKind, Flag, empty_records
from ksmtrace.events.record import Records

NS_PER_RECORD = 1000
"""The engine takes no time: records are so far apart, to show their order."""

_UNSTABLE = int(Flag.UNSTABLE_BEFORE | Flag.UNSTABLE_AFTER)
_STABLE = int(Flag.STABLE_BEFORE | Flag.STABLE_AFTER)


def settled_records(stretch: Stretch, begin: int, stop: int) -> Records:
    """What pages `begin` to `stop` - 1 give, with `ts` counted from the time before, `seq` from 0, and without `mm`.

    A KSM page gives one CMP_AND_MERGE_PAGE. Any other gives REMOVE_RMAP_ITEM before it, with a later time: that of a
    CMP_AND_MERGE_PAGE is when the call began.
    """
    rank = stretch.rank[begin : stop + 1].astype(np.intp)
    alone = np.diff(rank).astype(bool)
    done = np.arange(stop - begin) + rank[1:] - rank[0]
    removed = done[alone] - 1
    records = empty_records(stop - begin + int(rank[-1] - rank[0]))
    pfn, key, node, checksum = stretch.columns[:, begin:stop]
    address = np.arange(stretch.first + begin, stretch.first + stop, dtype=np.uint64) << np.uint64(
        12
    )

    order = np.arange(len(records))
    records["seq"] = order
    order[done[alone]] -= 1
    order[removed] += 1
    records["ts"] = (order + 1) * NS_PER_RECORD
    for name, values in (("address", address), ("rmap_item", key)):
        records[name][done] = values
        records[name][removed] = values[alone]
    records["kind"] = EventKind.REMOVE_RMAP_ITEM
    records["kind"][done] = EventKind.CMP_AND_MERGE_PAGE
    records["flags"] = Flag.UNSTABLE_BEFORE
    records["flags"][done] = np.where(alone, _UNSTABLE, _STABLE)
    for name, values in (
        ("pfn", pfn), ("aux", node), ("oldchecksum", checksum), ("checksum", checksum),
    ):  # fmt: skip
        records[name][done] = values
    return records
