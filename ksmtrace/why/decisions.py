"""What ksmd last decided of each page of a process, as a capture tells."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Mask, Words
from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import Records
from ksmtrace.model.processes import ProcessTable

Codes = npt.NDArray[np.int8]


class Decision(IntEnum):
    """What became of a page when ksmd, or a writer, last came to it."""

    MERGED = 0
    ZERO_PAGE = 1
    UNSTABLE = 2
    FIRST_LOOK = 3
    CHANGED = 4
    HELD = 5
    HUGE = 6
    FAILED = 7
    NO_PARTNER = 8
    SKIPPED = 9
    WRITTEN = 10
    BROKEN = 11
    GONE = 12
    NONE = 13

    @property
    def key(self) -> str:
        """Its name in the JSON document."""
        return self.name.lower()


DECISIONS = MappingProxyType(
    {
        Decision.MERGED: "merged",
        Decision.ZERO_PAGE: "merged with the zero page",
        Decision.UNSTABLE: "put into the unstable tree",
        Decision.FIRST_LOOK: "looked at for the first time",
        Decision.CHANGED: "left alone: changed since the look before",
        Decision.HELD: "not merged: locked, or more references than mappings",
        Decision.HUGE: "not merged: still part of a huge page",
        Decision.FAILED: "not merged: it or its equal was held, written to or unmapped meanwhile",
        Decision.NO_PARTNER: "left in neither tree: the page in the tree was itself, as a fork's",
        Decision.SKIPPED: "passed over by smart scan",
        Decision.WRITTEN: "written to after it was merged",
        Decision.BROKEN: "unmerged by the kernel",
        Decision.GONE: "unmapped, or no longer mergeable",
        Decision.NONE: "not looked at",
    }
)
"""Each in words."""

_KINDS = (
    *(kinds.CMP_AND_MERGE_PAGE, kinds.TRY_TO_MERGE_ONE_PAGE, kinds.STABLE_APPEND),
    *(kinds.BREAK_COW, kinds.REMOVE_RMAP_ITEM, kinds.SKIPPED, kinds.COW_FAULT, kinds.SNAPSHOT),
)
_FAILURES = (Decision.HELD, Decision.HUGE, Decision.FAILED)
_PAGE = np.uint64(4096)


class Decisions:
    """The last decision of each page of one process.

    Attributes:
        file: the capture.
        seen: whether the capture knows of the process.

    Args:
        file: the capture.
        pid: whose.
        comm: its name: a process of another name that had the pid before is none of it.
    """

    def __init__(self, file: str, pid: int, comm: str) -> None:
        self.file = file
        self._pid, self._comm = pid, comm
        self._processes = ProcessTable()
        self._address: Words = np.zeros(0, dtype=np.uint64)
        self._code: Codes = np.zeros(0, dtype=np.int8)
        self.seen = False

    def follow(self, batches: Iterable[EventBatch]) -> None:
        """Take in all events of a capture."""
        for batch in batches:
            for part in self._processes.parts(batch):
                self._processes.apply(part)
                self._take(part)

    def of(self, addresses: Words) -> Codes:
        """The `Decision` of each page, shape (n,)."""
        found = np.full(len(addresses), Decision.NONE, dtype=np.int8)
        if len(self._address):
            at = np.minimum(np.searchsorted(self._address, addresses), len(self._address) - 1)
            known = self._address[at] == addresses
            found[known] = self._code[at[known]]
        return found

    def _take(self, batch: EventBatch) -> None:
        events = batch.of(*_KINDS)
        events = events[self._mine(events)]
        if not len(events):
            return
        self.seen = True
        address = events["address"] // _PAGE * _PAGE
        codes = _codes(events)
        told = codes != Decision.NONE
        address, codes = address[told], codes[told]
        order = np.argsort(address, kind="stable")
        address, codes = address[order], codes[order]
        # the record of a look follows that of what it attempted
        after = np.zeros(len(codes), dtype=np.bool_)
        after[1:] = (address[1:] == address[:-1]) & np.isin(codes[:-1], _FAILURES)
        keeps = after & (codes == Decision.NO_PARTNER)
        codes[keeps] = codes[np.flatnonzero(keeps) - 1]
        self._put(address, codes)

    def _put(self, address: Words, codes: Codes) -> None:
        """Later ones take the place of earlier ones."""
        joined = np.concatenate([self._address, address])
        both = np.concatenate([self._code, codes])
        order = np.argsort(joined, kind="stable")
        joined, both = joined[order], both[order]
        last = np.ones(len(joined), dtype=np.bool_)
        last[:-1] = joined[1:] != joined[:-1]
        self._address, self._code = joined[last], both[last]

    def _mine(self, events: Records) -> Mask:
        mms, which = np.unique(events["mm"], return_inverse=True)
        mine = np.array([self._is_mine(int(mm)) for mm in mms.tolist()], dtype=np.bool_)
        found: Mask = mine[which] if len(mms) else np.zeros(0, dtype=np.bool_)
        snapshots = events["kind"] == int(kinds.SNAPSHOT)
        found[snapshots] = events["aux"][snapshots] == np.uint64(self._pid)
        return found

    def _is_mine(self, mm: int) -> bool:
        if not mm:
            return False
        process = self._processes.of(mm)
        return process.pid == self._pid and process.comm in (self._comm, "")


def _codes(events: Records) -> Codes:
    """What each event decides; NONE where it decides nothing."""
    codes = np.full(len(events), Decision.NONE, dtype=np.int8)
    kind, flags, failed = events["kind"], events["flags"], events["err"] != 0
    look = kind == int(kinds.CMP_AND_MERGE_PAGE)
    attempt = kind == int(kinds.TRY_TO_MERGE_ONE_PAGE)
    changed = events["oldchecksum"] != events["checksum"]
    removed = (kind == int(kinds.REMOVE_RMAP_ITEM)) & _has(flags, Flag.FREED)
    fault = (kind == int(kinds.COW_FAULT)) & ~_has(flags, Flag.ZERO_PAGE)
    state = attempt & failed & _has(flags, Flag.PAGE_STATE)
    # ksmd holds one reference while it looks
    references, mappings = (events[one].astype(np.int64) for one in ("oldchecksum", "checksum"))
    for where, decision in (
        (look, Decision.NO_PARTNER),
        (look & changed, Decision.CHANGED),
        (look & changed & (events["oldchecksum"] == 0), Decision.FIRST_LOOK),
        (look & _has(flags, Flag.UNSTABLE_AFTER), Decision.UNSTABLE),
        (look & _has(flags, Flag.STABLE_AFTER), Decision.MERGED),
        (attempt & ~failed & _has(flags, Flag.ZERO_PAGE), Decision.ZERO_PAGE),
        (kind == int(kinds.BREAK_COW), Decision.FAILED),
        (attempt & failed, Decision.FAILED),
        (state & _has(flags, Flag.COMPOUND), Decision.HUGE),
        (state & ~_has(flags, Flag.COMPOUND) & (references > mappings + 1), Decision.HELD),
        (state & _has(flags, Flag.LOCKED), Decision.HELD),
        (kind == int(kinds.STABLE_APPEND), Decision.MERGED),
        (kind == int(kinds.SNAPSHOT), Decision.MERGED),
        (kind == int(kinds.SKIPPED), Decision.SKIPPED),
        (removed, Decision.GONE),
        (fault, Decision.WRITTEN),
        (fault & _has(flags, Flag.BY_KERNEL), Decision.BROKEN),
    ):
        codes[where] = decision
    return codes


def _has(flags: npt.NDArray[np.uint8], flag: Flag) -> Mask:
    found: Mask = (flags & np.uint8(flag)) != 0
    return found
