"""Attempts that went into the ring as one record with the append that followed.

bpf/state.c has the same numbers; a test compares them.
"""

from __future__ import annotations

import numpy as np

from ksmtrace.events.kinds import EventKind, Flag
from ksmtrace.events.record import Records
from ksmtrace.sources.live.gathered.own import NOT_AT_CURSOR

MERGED = 254
"""Kind of such a record; it never leaves the source."""

MERGED_NEW_NODE = 0x40
"""Bit of its `flags`: the stable node had no rmap_item yet."""


def with_appends(events: Records) -> Records:
    """The events, with a TRY_TO_MERGE_ONE_PAGE and a STABLE_APPEND in place of each `MERGED`."""
    merged = events["kind"] == MERGED
    if not merged.any():
        return events
    found = np.repeat(events, 1 + merged)
    appended = np.flatnonzero(found["kind"] == MERGED)[1::2]
    attempts, appends = found[appended - 1], found[appended]
    flags = attempts["flags"].copy()
    attempts["kind"] = EventKind.TRY_TO_MERGE_ONE_PAGE
    attempts["flags"] = flags & ~np.uint8(MERGED_NEW_NODE)
    appends["kind"] = EventKind.STABLE_APPEND
    appends["seq"] += 1
    appends["flags"] = (flags & NOT_AT_CURSOR) | np.where(
        flags & MERGED_NEW_NODE, np.uint8(Flag.NEW_NODE), np.uint8(0)
    )
    appends["pfn"] = attempts["aux"]
    appends["aux"] = attempts["oldchecksum"] | attempts["checksum"].astype(np.uint64) << np.uint64(
        32
    )
    for rows in (attempts, appends):
        rows["oldchecksum"] = rows["checksum"] = 0
    found[appended - 1], found[appended] = attempts, appends
    return found
