"""Turns what the engine does into the records that the live tracer's probes make of a kernel."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import numpy as np

from ksmtrace.engine.bulk.bulk_result import BulkResult, BulkWatcher
from ksmtrace.engine.ksm.watcher import Node, Tracked
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.engine.trace.bulk_records import NS_PER_RECORD, bulk_records
from ksmtrace.events import RECORD, EventBatch, EventKind, Flag, Gauge
from ksmtrace.events.record import Records
from ksmtrace.events.tunable import TunableWrite, tunable_records

_PAGE_SHIFT = 12
_REMOVE_RMAP_ITEM = int(EventKind.REMOVE_RMAP_ITEM)
_CMP_AND_MERGE_PAGE = int(EventKind.CMP_AND_MERGE_PAGE)
_COMM_SIZE = 16
_BEFORE = (0, int(Flag.UNSTABLE_BEFORE), int(Flag.STABLE_BEFORE))
_AFTER = (0, int(Flag.UNSTABLE_AFTER), int(Flag.STABLE_AFTER))
"""Flags by `Tree`."""
_ZERO_PAGE, _HAS_KPAGE, _SAME_PAGE, _NEW_NODE = (
    int(flag) for flag in (Flag.ZERO_PAGE, Flag.HAS_KPAGE, Flag.SAME_PAGE, Flag.NEW_NODE)
)
_PAGE_STATE, _COMPOUND, _WAS_COMPOUND = (
    int(flag) for flag in (Flag.PAGE_STATE, Flag.COMPOUND, Flag.WAS_COMPOUND)
)

_pack = struct.Struct("<QHHhBB2I5Q").pack
"""A record, field by field as `RECORD` has them: faster by far than an array made of tuples."""


class Emitter(BulkWatcher):
    """Records of everything that happens since the last `take`, in the order of the live stream.

    What each kind holds is said at `EventKind`. Keys stand for kernel addresses and are never given
    twice. Times begin at `start_ns` and only show the order; `seq` has no gaps.

    Args:
        start_ns: time of the first record.
    """

    def __init__(self, start_ns: int = 0) -> None:
        self._records = bytearray()
        self._now = start_ns
        self._seq = 0
        self._open: tuple[Tracked, int, int, int, int] | None = None
        self._named: Mm | None = None

    def __len__(self) -> int:
        return len(self._records) // RECORD.itemsize

    def take(self) -> EventBatch:
        """The records since the last call."""
        records = np.frombuffer(self._records, dtype=RECORD)
        self._records = bytearray()
        return EventBatch(records)

    def sample(self, counters: Mapping[str, int], flags: int = 0) -> None:
        """Add a reading of the counters, by the lower-case names of `Gauge`."""
        last = len(counters) - 1
        for index, (name, value) in enumerate(counters.items()):
            end = Flag.LAST_OF_SAMPLE if index == last else 0
            gauge = Gauge[name.upper()]
            self._add(EventKind.SAMPLE, address=gauge, flags=flags | end, aux=value % 2**64)

    def scan_start(self, seqnr: int) -> None:
        """SCAN_START."""
        self._named = None
        self._add(EventKind.SCAN_START, aux=seqnr)

    def scan_stop(self, seqnr: int, counters: Mapping[str, int]) -> None:
        """SCAN_STOP, and the daemon's own counters as they are then."""
        self._add(EventKind.SCAN_STOP, aux=seqnr)
        self.sample(counters, Flag.AT_SCAN_STOP)

    def candidate(self, item: Tracked, page: Frame) -> None:
        """Note the state before; PROCESS when it is the first of a process."""
        if self._named is not item.mm:
            self._named = item.mm
            self._process(item.mm)
        now = self._now = self._now + NS_PER_RECORD
        self._open = (item, page.pfn, item.oldchecksum, _BEFORE[item.tree], now)

    def examined(self, pages: BulkResult) -> None:
        """What single calls for all pages would give."""
        records, first = bulk_records(pages, self._now, self._seq)
        if first < len(records) and self._named is not pages.mm:
            self._extend(records[:first])
            self._named = pages.mm
            self._process(pages.mm)
            records = records[first:]
            records["ts"] += NS_PER_RECORD
            records["seq"] += 1
        self._extend(records)

    def candidate_done(self) -> None:
        """CMP_AND_MERGE_PAGE, with the time at which the call began."""
        assert self._open is not None, "a candidate is under examination"
        item, pfn, oldchecksum, flags, began = self._open
        self._open = None
        head = item.head
        checksum = item.oldchecksum
        place = (
            item.mm.key,
            item.vpn << _PAGE_SHIFT,
            pfn,
            item.key,
            0 if head is None else head.key,
        )
        what = (0, _CMP_AND_MERGE_PAGE, flags | _AFTER[item.tree], oldchecksum, checksum)
        self._records += _pack(began, self._seq, 0, *what, *place)
        self._seq = self._seq + 1 & 0xFFFF

    def skipped(self, item: Tracked) -> None:
        """SKIPPED."""
        self._add(EventKind.SKIPPED, item=item)

    def rmap_item_removed(self, item: Tracked, *, freed: bool) -> None:
        """REMOVE_RMAP_ITEM, unless the item is in no tree and stays."""
        flags = _BEFORE[item.tree] | (int(Flag.FREED) if freed else 0)
        if flags:
            now = self._now = self._now + NS_PER_RECORD
            place = (item.mm.key, item.vpn << _PAGE_SHIFT, 0, item.key, _node_key(item))
            what = (0, _REMOVE_RMAP_ITEM, flags, 0, 0)
            self._records += _pack(now, self._seq, 0, *what, *place)
            self._seq = self._seq + 1 & 0xFFFF

    def merged_one(
        self,
        item: Tracked,
        page: Frame,
        kpage: Frame | None,
        err: int,
        *,
        was_compound: bool = False,
    ) -> None:
        """TRY_TO_MERGE_ONE_PAGE; no page is ever locked."""
        zero = _ZERO_PAGE if kpage is not None and not kpage.anon else 0
        flags = zero | (_HAS_KPAGE if kpage is not None else 0)
        flags |= _SAME_PAGE if kpage is page else 0
        flags |= _WAS_COMPOUND if was_compound else 0
        references = mappings = 0
        if err:
            parts = (page,) if page.compound is None else page.compound.frames
            flags |= _PAGE_STATE | (0 if page.compound is None else _COMPOUND)
            mappings = page.mapcount
            references = mappings + sum(part.references for part in parts)
        aux = 0 if kpage is None else kpage.pfn
        self._add(
            EventKind.TRY_TO_MERGE_ONE_PAGE,
            item=item,
            flags=flags,
            err=err,
            pfn=page.pfn,
            aux=aux,
            oldchecksum=references,
            checksum=mappings,
        )

    def replaced(self, item: Tracked, page: Frame, kpage: Frame) -> None:
        """REPLACE_PAGE."""
        flags = 0 if kpage.anon else _ZERO_PAGE
        self._add(EventKind.REPLACE_PAGE, item=item, flags=flags, pfn=page.pfn, aux=kpage.pfn)

    def appended(self, item: Tracked, node: Node) -> None:
        """STABLE_APPEND."""
        flags = _NEW_NODE if node.is_new else 0
        self._add(EventKind.STABLE_APPEND, item=item, flags=flags, pfn=node.kpfn, aux=node.key)

    def stable_node_removed(self, node: Node) -> None:
        """REMOVE_STABLE_NODE."""
        self._add(EventKind.REMOVE_STABLE_NODE, pfn=node.kpfn, aux=node.key)

    def break_cow(self, item: Tracked) -> None:
        """BREAK_COW."""
        self._add(EventKind.BREAK_COW, item=item)

    def mm_enter(self, mm: Mm) -> None:
        """MM_ENTER and PROCESS."""
        self._add(EventKind.MM_ENTER, mm=mm.key)
        self._process(mm)

    def mm_exit(self, mm: Mm) -> None:
        """MM_EXIT."""
        self._add(EventKind.MM_EXIT, mm=mm.key)

    def cow_fault(self, mm: Mm, vpn: int, page: Frame, *, by_kernel: bool, result: int) -> None:
        """COW_FAULT; the engine takes no time, so `aux` is 0."""
        self._add(
            EventKind.COW_FAULT,
            mm=mm.key,
            address=vpn << _PAGE_SHIFT,
            flags=(Flag.BY_KERNEL if by_kernel else 0) | (0 if page.anon else _ZERO_PAGE),
            err=result,
            pfn=page.pfn,
        )

    def tunable_written(self, name: str, text: str, err: int) -> None:
        """TUNABLE."""
        now = self._now = self._now + NS_PER_RECORD
        record = tunable_records(TunableWrite(name, text, err, now))
        record["seq"] = self._seq
        self._records += record.tobytes()
        self._seq = self._seq + 1 & 0xFFFF

    def _extend(self, records: Records) -> None:
        self._now += len(records) * NS_PER_RECORD
        self._seq = self._seq + len(records) & 0xFFFF
        self._records += records.view(np.uint8).data

    def _process(self, mm: Mm) -> None:
        comm = mm.comm.encode()[: _COMM_SIZE - 1].ljust(_COMM_SIZE, b"\0")
        low, high = (int.from_bytes(comm[at : at + 8], "little") for at in (0, 8))
        self._add(EventKind.PROCESS, mm=mm.key, pfn=low, rmap_item=high, aux=mm.pid)

    def _add(
        self,
        kind: EventKind,
        *,
        item: Tracked | None = None,
        mm: int = 0,
        address: int = 0,
        rmap_item: int = 0,
        flags: int = 0,
        err: int = 0,
        pfn: int = 0,
        aux: int = 0,
        oldchecksum: int = 0,
        checksum: int = 0,
    ) -> None:
        if item is not None:
            mm, address, rmap_item = item.mm.key, item.vpn << _PAGE_SHIFT, item.key
        ts = self._now = self._now + NS_PER_RECORD
        what = (err, kind, flags, oldchecksum, checksum)
        self._records += _pack(ts, self._seq, 0, *what, mm, address, pfn, rmap_item, aux)
        self._seq = self._seq + 1 & 0xFFFF


def _node_key(item: Tracked) -> int:
    return item.head.key if item.head is not None else 0
