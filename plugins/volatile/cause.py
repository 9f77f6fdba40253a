"""Causes by which pages are in neither tree, and those that an attempt to merge shows."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import Records


class Cause(IntEnum):
    """Why an rmap_item is not placed, as far as its last look shows.

    NONE: it is placed, or has not been looked at since it left its tree.
    FIRST_LOOK: there was no checksum to compare with.
    CHANGED: its checksum differs from that of the look before.
    FORK_SHARED: unchanged, and no merge was attempted: the walk of the unstable tree met the very
        same page under another address space. A walk that met a page just gone, or a KSM page just
        locked, looks the same, and does not last.
    HELD: the attempt failed on a page that somebody had locked, or to which there were references
        beyond its mappings and ksmd's own (a pin, I/O, the swap cache, a batch of the LRU).
    HUGE_PAGE: it was still part of a huge page as the attempt ended.
    OTHER: the attempt failed and the page shows no reason (written to or unmapped meanwhile), or
        this run cannot know the reason.
    ZERO_PAGE: replaced by the zero page, nothing is amiss.
    SKIPPED: smart scan passes over it.
    GONE: the rmap_item was freed: unmapped, or its process exited.
    CHAIN_FULL: it waits in the unstable tree although a KSM page has its checksum: all copies of
        that page have max_page_sharing sharers.
    """

    NONE = 0
    FIRST_LOOK = 1
    CHANGED = 2
    FORK_SHARED = 3
    HELD = 4
    HUGE_PAGE = 5
    OTHER = 6
    ZERO_PAGE = 7
    SKIPPED = 8
    GONE = 9
    CHAIN_FULL = 10


REMEDIES = {
    Cause.CHANGED: "written to between looks: advise less memory, or turn smart_scan on",
    Cause.FORK_SHARED: "a fork shares it already: nothing to gain until one of them writes",
    Cause.HELD: "locked, pinned or under I/O: advise only memory that is not",
    Cause.HUGE_PAGE: "part of a huge page that somebody holds, or that was not split yet",
    Cause.SKIPPED: "smart scan passes over it: costs nothing, merges later",
    Cause.CHAIN_FULL: "all copies of the KSM page are full: raise max_page_sharing",
    Cause.GONE: "unmapped or exited before it was merged: too short-lived to scan",
    Cause.OTHER: "the attempt failed: written to or unmapped meanwhile, or not told",
}
"""Why pages do not get placed, and what to do about it."""

LIVE = tuple(cause for cause in REMEDIES if cause is not Cause.GONE)
"""Causes that a page alive can have."""

WASTED = (
    *(Cause.CHANGED, Cause.FORK_SHARED, Cause.HELD),
    *(Cause.HUGE_PAGE, Cause.OTHER, Cause.CHAIN_FULL),
)
"""Causes that are counted by examinations that led to nothing."""

Counts = npt.NDArray[np.int64]
"""How many of each `Cause`, shape (len(Cause),)."""


def reasons(attempts: Records) -> npt.NDArray[np.uint8]:
    """What is behind each TRY_TO_MERGE_ONE_PAGE that its examination comes to nothing."""
    flags = attempts["flags"]
    why = np.full(len(attempts), Cause.OTHER, dtype=np.uint8)
    zero = (attempts["err"] == 0) & (flags & int(Flag.ZERO_PAGE) != 0)
    shown = (attempts["err"] != 0) & (flags & int(Flag.PAGE_STATE) != 0)
    locked = flags & int(Flag.LOCKED) != 0
    compound = flags & int(Flag.COMPOUND) != 0
    # ksmd holds one reference while it looks.
    referenced = (
        attempts["oldchecksum"].astype(np.int64) > attempts["checksum"].astype(np.int64) + 1
    )
    why[zero] = Cause.ZERO_PAGE
    why[shown & referenced] = Cause.HELD
    why[shown & compound] = Cause.HUGE_PAGE
    why[shown & locked] = Cause.HELD
    return why
