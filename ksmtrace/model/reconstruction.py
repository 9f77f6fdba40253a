"""ksmd's rmap_items and stable nodes, rebuilt from events and nothing else.

Follows the counters of mm/ksm.c: a stable node counts as shared while it has an rmap_item, every further
rmap_item as sharing, rmap_items flagged UNSTABLE as unshared, and what is in neither tree as volatile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag, Gauge
from ksmtrace.events.record import Records
from ksmtrace.session import Session

_NEITHER = 0
_UNSTABLE = 1
_FIRST_NODE = 2

_RELEVANT = np.zeros(256, dtype=bool)
_RELEVANT[
    [
        EventKind.CMP_AND_MERGE_PAGE,
        EventKind.STABLE_APPEND,
        EventKind.REMOVE_RMAP_ITEM,
        EventKind.REMOVE_STABLE_NODE,
        EventKind.SKIPPED,
        EventKind.SCAN_START,
        EventKind.SCAN_STOP,
        EventKind.MM_EXIT,
        EventKind.LOST,
    ]
] = True

PAGE_GAUGES = (
    Gauge.PAGES_SHARED,
    Gauge.PAGES_SHARING,
    Gauge.PAGES_UNSHARED,
    Gauge.PAGES_VOLATILE,
)
"""The gauges of /sys/kernel/mm/ksm that the reconstruction can stand against."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Stable pages that were there before the first event."""

    pages_shared: int = 0
    pages_sharing: int = 0


class Reconstruction:
    """State of ksmd after the last event applied.

    `complete` says whether the gauges can be trusted: from the start on when KSM was empty, else from the
    end of the first pass that was seen whole, and again so after a loss. While it is False, `reason` says why.
    """

    def __init__(self, session: Session) -> None:
        self._sees_candidates = session.sees(EventKind.CMP_AND_MERGE_PAGE)
        self._sees_removals = session.sees(EventKind.REMOVE_RMAP_ITEM)
        self._sees_appends = session.sees(EventKind.STABLE_APPEND)
        self._sees_nodes = session.sees(EventKind.REMOVE_STABLE_NODE)
        self._limited = bool(session.only_pids)
        self._started = False
        self._pass_whole = False
        self.reason = "no reading of the kernel's counters yet"
        self._forget()

    def _forget(self) -> None:
        self._state: dict[
            int, int
        ] = {}  # rmap_item -> _NEITHER, _UNSTABLE or the id of its stable node
        self._mm: dict[int, int] = {}  # rmap_item -> mm, kept only where removals are not seen
        self._node_id: dict[int, int] = {}  # stable_node (or kpfn) -> id; ids are never used again
        self._members: dict[int, int] = {}  # id -> number of rmap_items, at least 1
        self._next_id = _FIRST_NODE
        self._stable = 0
        self._unshared = 0
        self._older: set[int] = set()  # ids of nodes that were there before the first event
        self._baseline = Baseline()

    @property
    def complete(self) -> bool:
        """Whether the gauges describe all of ksmd's state."""
        return not self.reason

    @property
    def rmap_items(self) -> int:
        """rmap_items known to be alive."""
        return len(self._state)

    @property
    def pages_shared(self) -> int:
        """Stable nodes with at least one rmap_item, as sysfs `pages_shared`."""
        known = sum(1 for node in self._older if node in self._members)
        return self._baseline.pages_shared + len(self._members) - known

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
        return len(self._state) - self._stable - self._unshared

    def gauges(self) -> dict[Gauge, int | None]:
        """The four page gauges; None where this run cannot reconstruct one (now, or ever)."""
        stable = self.complete and self._sees_appends and self._sees_nodes
        items = self.complete and self._sees_candidates and self._sees_removals
        return {
            Gauge.PAGES_SHARED: self.pages_shared if stable else None,
            Gauge.PAGES_SHARING: self.pages_sharing if stable else None,
            Gauge.PAGES_UNSHARED: self.pages_unshared if items else None,
            Gauge.PAGES_VOLATILE: self.pages_volatile if items else None,
        }

    def sharers(self) -> Iterator[int]:
        """Number of rmap_items of each stable node known."""
        return iter(self._members.values())

    def start(self, sample: dict[Gauge, int]) -> None:
        """Take the first reading of the kernel's counters, before any event counts."""
        if self._started:
            return
        self._started = True
        if self._limited:
            self.reason = "limited to some processes (--pid); the kernel's gauges are of all"
            return
        held = sum(sample.get(gauge, 0) for gauge in PAGE_GAUGES)
        if not self._sees_removals:
            self._baseline = Baseline(
                sample.get(Gauge.PAGES_SHARED, 0), sample.get(Gauge.PAGES_SHARING, 0)
            )
            self.reason = ""
        elif held:
            self.reason = "joined late: no pass seen whole yet"
        else:
            self.reason = ""

    def apply(self, batch: EventBatch) -> None:
        """Follow the events of `batch`, in order."""
        chosen = batch.events[_RELEVANT[batch.kind]]
        if self.complete and not batch.lost:
            chosen = chosen[_tells(chosen)]
        for kind, flags, item, mm, pfn, aux in zip(
            chosen["kind"].tolist(),
            chosen["flags"].tolist(),
            chosen["rmap_item"].tolist(),
            chosen["mm"].tolist(),
            chosen["pfn"].tolist(),
            chosen["aux"].tolist(),
            strict=True,
        ):
            if kind == EventKind.CMP_AND_MERGE_PAGE:
                self._examined(item, flags, aux)
            elif kind == EventKind.STABLE_APPEND:
                self._appended(item, mm, aux or pfn, flags)
            elif kind == EventKind.REMOVE_RMAP_ITEM:
                self._removed(item, flags)
            elif kind == EventKind.REMOVE_STABLE_NODE:
                self._node_removed(aux or pfn)
            elif kind == EventKind.SKIPPED:
                self._move(item, _NEITHER)
            elif kind == EventKind.MM_EXIT:
                self._mm_exited(mm)
            else:
                self._progress(kind)

    def _examined(self, item: int, flags: int, node: int) -> None:
        if flags & Flag.FREED:
            return
        if flags & Flag.STABLE_AFTER:
            self._move(item, self._id_of(node))
        elif flags & Flag.UNSTABLE_AFTER:
            self._move(item, _UNSTABLE)
        else:
            self._move(item, _NEITHER)

    def _appended(self, item: int, mm: int, node: int, flags: int) -> None:
        if flags & Flag.NEW_NODE and not self._sees_removals:
            self._node_id.pop(node, None)
        known = node in self._node_id
        identity = self._id_of(node)
        if not known and not flags & Flag.NEW_NODE and self._baseline.pages_shared:
            self._older.add(identity)
        self._move(item, identity)
        if not self._sees_removals:
            self._mm[item] = mm

    def _removed(self, item: int, flags: int) -> None:
        if item not in self._state:
            return
        self._move(item, _NEITHER)
        if flags & Flag.FREED:
            del self._state[item]

    def _node_removed(self, node: int) -> None:
        identity = self._node_id.pop(node, None)
        if identity is not None:
            self._stable -= self._members.pop(identity, 0)

    def _mm_exited(self, mm: int) -> None:
        # ksmd frees the rmap_items of an exited mm at its next visit. Where those removals are seen they
        # speak for themselves; where they are not, the exit is all there is to know.
        if self._sees_removals:
            return
        for item in [item for item, owner in self._mm.items() if owner == mm]:
            self._move(item, _NEITHER)
            del self._state[item], self._mm[item]

    def _progress(self, kind: int) -> None:
        if self._limited:
            return
        if kind == EventKind.LOST:
            if self._sees_removals:
                self._forget()
            self._pass_whole = False
            self.reason = "events were lost"
            if self._sees_removals:
                self.reason += ": no pass seen whole since"
        elif kind == EventKind.SCAN_START:
            self._pass_whole = True
        elif self._pass_whole and self._started and self._sees_removals:
            self.reason = ""

    def _id_of(self, node: int) -> int:
        identity = self._node_id.get(node)
        if identity is None:
            identity = self._node_id[node] = self._next_id
            self._next_id += 1
        return identity

    def _move(self, item: int, new: int) -> None:
        old = self._state.get(item, _NEITHER)
        self._state[item] = new
        if old == new:
            return
        if old == _UNSTABLE:
            self._unshared -= 1
        elif old in self._members:
            self._stable -= 1
            left = self._members[old] - 1
            if left:
                self._members[old] = left
            else:
                del self._members[old]
        if new == _UNSTABLE:
            self._unshared += 1
        elif new != _NEITHER:
            self._stable += 1
            self._members[new] = self._members.get(new, 0) + 1


def _tells(events: Records) -> npt.NDArray[np.bool_]:
    """Which events can change a state that is known whole; most of a settled scan cannot, and a loop over them is slow.

    An examination that leaves the rmap_item in its tree changes nothing; nor does the removal just before it, by which
    ksmd takes a candidate out of the unstable tree only to put it back.
    """
    kind, flags, item = events["kind"], events["flags"], events["rmap_item"]
    examined = kind == EventKind.CMP_AND_MERGE_PAGE
    both = flags & (Flag.UNSTABLE_BEFORE | Flag.UNSTABLE_AFTER | Flag.FREED)
    waits_on = examined & (both == Flag.UNSTABLE_BEFORE | Flag.UNSTABLE_AFTER)
    both = flags & (Flag.STABLE_BEFORE | Flag.STABLE_AFTER | Flag.FREED)
    settled = examined & (both == Flag.STABLE_BEFORE | Flag.STABLE_AFTER)
    taken = (kind == EventKind.REMOVE_RMAP_ITEM) & (flags == Flag.UNSTABLE_BEFORE)
    put_back = np.zeros(len(events), dtype=bool)
    put_back[1:] = waits_on[1:] & taken[:-1] & (item[1:] == item[:-1])
    silent = settled | put_back
    silent[:-1] |= put_back[1:]
    telling: npt.NDArray[np.bool_] = ~silent
    return telling
