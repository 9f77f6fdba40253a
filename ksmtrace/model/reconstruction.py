"""ksmd's rmap_items and stable nodes, rebuilt from events and nothing else.

Follows the counters of mm/ksm.c: a stable node counts as shared while it has an rmap_item, every
further rmap_item as sharing, rmap_items flagged UNSTABLE as unshared, and what is in neither tree
as volatile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.cut import cut, cut_after
from ksmtrace.events.kinds import PAGE_GAUGES, EventKind, Gauge
from ksmtrace.events.losses import losses_of_any_kind
from ksmtrace.events.readings import Reading
from ksmtrace.events.record import Records, empty_records, picked, true_rows
from ksmtrace.events.tunable import follow_writes
from ksmtrace.model.baseline import Baseline
from ksmtrace.model.completeness import Completeness
from ksmtrace.model.copies import Copies
from ksmtrace.model.departures import Departures
from ksmtrace.model.items import Ids, ItemTable, grown
from ksmtrace.model.nodes import FIRST_NODE, NodeTable
from ksmtrace.model.processes import ProcessTable
from ksmtrace.model.telling import EXAMINED, FREED, STABLE_AFTER, UNSTABLE_AFTER, tells
from ksmtrace.session import Knowledge, Session

Derived = TypeVar("Derived")

_APPENDED, _REMOVED_NODE = int(kinds.STABLE_APPEND), int(kinds.REMOVE_STABLE_NODE)

NEITHER = 0
UNSTABLE = 1

_MOVES = (
    *(kinds.CMP_AND_MERGE_PAGE, kinds.STABLE_APPEND, kinds.REMOVE_RMAP_ITEM),
    *(kinds.REMOVE_STABLE_NODE, kinds.SKIPPED),
)

_MARKS = (kinds.SCAN_START, kinds.SCAN_STOP, kinds.STREAM_END)


class Reconstruction:
    """State of ksmd after the last event applied.

    Its gauges can be trusted while it is `complete`; see `Completeness`.

    Attributes:
        items: the rmap_items, by number.
        nodes: the stable nodes, by number.
        processes: whose memory it is.
        tunables: /sys/kernel/mm/ksm's writable files as they stand, name to text.
        owner: by number of rmap_item, `Process.number` of the process that it belongs to; dtype
            int64.
        state: by number of rmap_item, NEITHER, UNSTABLE or the number of its stable node; dtype
            int64.
        page_bytes, node_bytes: the size of a page, and of a stable node.
        batches: how many were applied.
        batch: the last one of them.
        ids: for each event of it, the number of its rmap_item, or -1; shape (n,).
        copies: the pages of KSM that were copied, as it tells.
        departures: how many merged pages have gone where removals are not seen; None where they
            are.
    """

    items: ItemTable
    nodes: NodeTable
    state: Ids
    owner: Ids

    def __init__(self, session: Session) -> None:
        self._sees_candidates = session.sees(EventKind.CMP_AND_MERGE_PAGE)
        self._sees_removals = session.sees(EventKind.REMOVE_RMAP_ITEM)
        self._sees_appends = session.sees(EventKind.STABLE_APPEND)
        self._sees_nodes = session.sees(EventKind.REMOVE_STABLE_NODE)
        self._items_are_entries = session.knows(Knowledge.RMAP_ITEMS)
        self._limited = bool(session.only_pids)
        self._completeness = Completeness(session)
        self.ids: Ids = np.zeros(0, dtype=np.int64)
        self.processes = ProcessTable()
        self.copies = Copies(session)
        self.departures = None if self._sees_removals else Departures()
        self.tunables = dict(session.tunables)
        self.page_bytes = session.kernel.page_size_bytes
        self.node_bytes = session.kernel.stable_node_size_bytes
        self.batches = 0
        self.batch = EventBatch(empty_records())
        self._derived: dict[Callable[[Reconstruction], Any], Any] = {}
        self._forget()

    def _forget(self) -> None:
        self.items = ItemTable()
        self.nodes = NodeTable(reused=not self._sees_removals)
        self.state = np.zeros(self.items.capacity, dtype=np.int64)
        self.owner = np.zeros(self.items.capacity, dtype=np.int64)
        self._stable = 0
        self._unshared = 0
        self._baseline = Baseline()

    @property
    def complete(self) -> bool:
        """Whether the gauges describe all of ksmd's state."""
        return not self.reason

    @property
    def reason(self) -> str:
        """Why they do not; "" when they do."""
        return self._completeness.reason

    @property
    def rmap_items(self) -> int:
        """rmap_items known to be alive."""
        return len(self.items)

    @property
    def pages_shared(self) -> int:
        """Stable nodes with at least one rmap_item, as sysfs `pages_shared`."""
        return self._baseline.shared_with(self.nodes)

    @property
    def pages_sharing(self) -> int:
        """rmap_items beyond the first of each stable node, as sysfs `pages_sharing`."""
        base = self._baseline
        return base.pages_shared + base.pages_sharing + self._stable - self.pages_shared

    @property
    def pages_unshared(self) -> int:
        """rmap_items in the unstable tree, as sysfs `pages_unshared`."""
        return self._unshared

    @property
    def pages_volatile(self) -> int:
        """rmap_items in neither tree, as sysfs `pages_volatile`."""
        return len(self.items) - self._stable - self._unshared

    def gauges(self) -> dict[Gauge, int | None]:
        """The four page gauges; None where this run cannot reconstruct one (now, or ever)."""
        entries = self._items_are_entries
        stable = self.complete and self._sees_appends and self._sees_nodes and entries
        items = self.complete and self._sees_candidates and self._sees_removals
        return {
            Gauge.PAGES_SHARED: self.pages_shared if stable else None,
            Gauge.PAGES_SHARING: self.pages_sharing if stable else None,
            Gauge.PAGES_UNSHARED: self.pages_unshared if items else None,
            Gauge.PAGES_VOLATILE: self.pages_volatile if items and entries else None,
        }

    def sharers(self) -> npt.NDArray[np.int64]:
        """Number of rmap_items of each stable node known that has any."""
        return self.nodes.members[self.nodes.alive()]

    def start(self, sample: dict[Gauge, int]) -> None:
        """Take the first reading of the kernel's counters, before any event counts."""
        held = sum(sample.get(gauge, 0) for gauge in PAGE_GAUGES)
        first = self._completeness.start(held)
        if first and not self._limited and not self._sees_removals:
            shared, sharing = (
                sample.get(gauge, 0) for gauge in (Gauge.PAGES_SHARED, Gauge.PAGES_SHARING)
            )
            told = self.nodes.shared
            self._baseline = Baseline(shared - told, sharing - (self._stable - told))

    def doubt(self) -> None:
        """Events are missing that no LOST record tells of."""
        self._completeness.follow(kinds.LOST)

    def once(self, derive: Callable[[Reconstruction], Derived]) -> Derived:
        """What `derive` makes of this state: called once for all who ask until the next batch."""
        if derive not in self._derived:
            self._derived[derive] = derive(self)
        found: Derived = self._derived[derive]
        return found

    def read(self, reading: Reading) -> None:
        """Follow a reading: pages_to_scan, which the advisor changes without a write to sysfs.

        Where removals are not seen, what is saved, too.
        """
        if Gauge.PAGES_TO_SCAN in reading.values:
            self.tunables["pages_to_scan"] = str(reading.values[Gauge.PAGES_TO_SCAN])
        if self.departures is not None:
            self.departures.read(reading)
            self._derived.clear()

    def cut(self, batch: EventBatch) -> Iterator[EventBatch]:
        """The parts of `batch` for hooks: cut by `events.cut`, none with two processes of one mm.

        Apply each before the next is taken: where an mm passes to another process is known only
        then.
        """
        for part in cut(batch):
            yield from self.processes.parts(part)

    def apply(self, batch: EventBatch) -> None:
        """Follow the events of `batch`, in order."""
        self.batches += 1
        self.batch = batch
        self._derived.clear()
        if batch.only_counters:
            self.ids = self.items.resolve(batch)
            self.copies.pass_over()
            return
        losses = losses_of_any_kind(batch)
        whole = self.complete and not len(losses)
        self.processes.apply(batch)
        follow_writes(self.tunables, batch.of(kinds.TUNABLE))
        ids, born = [], []
        for part, forgets in self._parts(batch, losses):
            ids.append(self.items.resolve(part))
            born.append(self.items.born)
            self._follow(part, ids[-1], whole=whole)
            self._adopt(part)
            if forgets:
                self._forget()
                ids = [np.full(sum(map(len, ids)), -1, dtype=np.int64)]
                born = []
        none = np.zeros(0, dtype=np.int64)
        self.ids = ids[0] if len(ids) == 1 else np.concatenate([*ids, none])
        if len(born) != 1:
            self.items.born = np.concatenate([*born, none])
        # the number -1 is the last, and never merged
        self.copies.apply(batch, self.ids, self.items.born, self.items.capacity + 1)
        marks = np.sort(np.append(batch.rows(*_MARKS), losses))
        for mark in batch.kind[marks].tolist():
            self._completeness.follow(mark)
        if self.departures is not None and batch.count(kinds.PROCESS_SAMPLE):
            alive = self.items.numbers()
            merged = alive[self.state[alive] >= FIRST_NODE]
            self.departures.follow(batch, self.processes, self.owner[merged])

    def _parts(self, batch: EventBatch, losses: Ids) -> Iterator[tuple[EventBatch, bool]]:
        """(part, whether all is forgotten after it): cut where an event ends many rmap_items.

        Args:
            batch: the events.
            losses: places of those that are losses of any kind.
        """
        ends = losses if self._sees_removals else batch.rows(kinds.MM_EXIT)
        if self._limited:
            ends = ends[:0]
        for number, part in enumerate(cut_after(batch, ends), 1):
            yield part, self._sees_removals and number <= len(ends)

    def _follow(self, batch: EventBatch, ids: Ids, *, whole: bool) -> None:
        self._welcome(self.items.born)
        rows = true_rows(batch.where_any(*_MOVES))
        if whole:
            rows = rows[tells(batch.kind[rows], batch.flags[rows], batch.rmap_item[rows])]
        kind, flags, moved = batch.kind[rows], batch.flags[rows], ids[rows]
        examined = kind == EXAMINED
        new = (examined & (flags & UNSTABLE_AFTER != 0)).astype(np.int64)
        names_node = examined & (flags & (STABLE_AFTER | FREED) == STABLE_AFTER)
        names_node |= (kind == _APPENDED) | (kind == _REMOVED_NODE)
        new[names_node], removed = self.nodes.resolve(picked(batch.events, rows[names_node]))
        if not self._sees_removals:
            self._renew(picked(batch.events, rows), moved)
        counts = (moved >= 0) & ~(examined & (flags & FREED != 0))
        self._move(moved[counts], new[counts])
        if len(removed):
            self.state[np.isin(self.state, removed)] = NEITHER
            self._stable -= self.nodes.bury(removed)
        if not self._sees_removals and batch.kind[-1] == kinds.MM_EXIT:
            self._mm_exited(int(batch.events["mm"][-1]))

    def _renew(self, events: Records, moved: Ids) -> None:
        """Where no removal is seen: an rmap_item that joins a node may be another page's by now."""
        other = (moved >= 0) & (events["kind"] == _APPENDED)
        other[other] = events["mm"][other] != self.items.mm[moved[other]]
        if other.any():
            self.items.mm[moved[other]] = events["mm"][other]
            self.items.address[moved[other]] = events["address"][other]
            self._own(moved[other])

    def _adopt(self, batch: EventBatch) -> None:
        """Take in what was merged before, where nothing tells of it later."""
        if self._sees_removals or not self._sees_appends:
            return
        found = batch.of(kinds.SNAPSHOT)
        found = found[found["mm"] != 0]
        if not len(found):
            return
        numbers = self.items.adopt(found["mm"], found["address"])
        self._welcome(numbers)
        appended = found.copy()
        appended["kind"], appended["flags"], appended["aux"] = kinds.STABLE_APPEND, 0, 0
        nodes, _ = self.nodes.resolve(appended)
        self.nodes.told.update(nodes.tolist())
        self._move(numbers, nodes)

    def _welcome(self, born: Ids) -> None:
        self.state = grown(self.state, self.items.capacity)
        self.owner = grown(self.owner, self.items.capacity)
        if len(born):
            self.state[born] = NEITHER
            self._own(born)

    def _own(self, items: Ids) -> None:
        mms, which = np.unique(self.items.mm[items], return_inverse=True)
        numbers = [self.processes.of(mm).number for mm in mms.tolist()]
        self.owner[items] = np.array(numbers, dtype=np.int64)[which]

    def _move(self, items: Ids, new: Ids) -> None:
        """Give each of `items` its state in `new`; of an item with several the last counts."""
        if not len(items):
            return
        distinct = np.unique(items)
        before = self.state[distinct]
        self.state[items] = new
        after = self.state[distinct]
        self.nodes.move(before, after)
        self._stable += int((after >= FIRST_NODE).sum()) - int((before >= FIRST_NODE).sum())
        self._unshared += int((after == UNSTABLE).sum()) - int((before == UNSTABLE).sum())

    def _mm_exited(self, mm: int) -> None:
        # ksmd frees the rmap_items of an exited mm at its next visit. Where those removals are seen
        # they speak for themselves; where they are not, the exit is all there is to know.
        gone = self.items.drop_all(mm)
        self._move(gone, np.full(len(gone), NEITHER, dtype=np.int64))
