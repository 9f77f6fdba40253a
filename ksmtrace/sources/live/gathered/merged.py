"""Attempts that went into the ring as one record with the appends that followed.

bpf/state.c has the same numbers; a test compares them.
"""

from __future__ import annotations

import numpy as np

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import Records, true_rows
from ksmtrace.sources.live.gathered.own import NOT_AT_CURSOR

MERGED = 254
"""Kind of such a record; it never leaves the source."""

MERGED_TWO = 253
"""The same, with a second append: that of the attempt in the record before, which made the page."""

MERGED_NEW_NODE = 0x40
"""Bit of its `flags`: the stable node had no rmap_item yet."""


def with_appends(events: Records) -> Records:
    """The events, with a TRY_TO_MERGE_ONE_PAGE and its STABLE_APPEND in place of each `MERGED`.

    In place of a `MERGED_TWO` there is one STABLE_APPEND more.
    """
    two = events["kind"] == MERGED_TWO
    merged = two | (events["kind"] == MERGED)
    if not merged.any():
        return events
    rows = 1 + merged + two
    found = np.repeat(events, rows)
    ends = np.cumsum(rows)
    tried = (ends - rows)[merged]
    attempts, appends = found[tried], found[tried + 1]
    flags = attempts["flags"].copy()
    attempts["kind"] = kinds.TRY_TO_MERGE_ONE_PAGE
    attempts["flags"] = flags & ~np.uint8(MERGED_NEW_NODE)
    appends["kind"] = kinds.STABLE_APPEND
    appends["seq"] += 1
    appends["flags"] = (flags & NOT_AT_CURSOR) | np.where(
        flags & MERGED_NEW_NODE, np.uint8(Flag.NEW_NODE), np.uint8(0)
    )
    appends["pfn"] = attempts["aux"]
    appends["aux"] = attempts["oldchecksum"] | attempts["checksum"].astype(np.uint64) << np.uint64(
        32
    )
    for those in (attempts, appends):
        those["oldchecksum"] = those["checksum"] = 0
    seconds, makers = appends[two[merged]], events[true_rows(two) - 1]
    seconds["seq"] += 1
    seconds["flags"] = makers["flags"] & NOT_AT_CURSOR
    for name in ("rmap_item", "mm", "address"):
        seconds[name] = makers[name]
    found[tried], found[tried + 1], found[ends[two] - 1] = attempts, appends, seconds
    return found
