"""ksmd's own records of a batch: which item ksmd was at with each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import Records, picked, true_rows
from ksmtrace.sources.live.gathered.chunk import ADDRESS_SHIFT, Ints
from ksmtrace.sources.live.gathered.visit import Visit

NOT_AT_CURSOR = 0x80
"""Raw mark of attempts, appends and undone merges: of the partner, not of the page under
examination."""
BETWEEN = 0x80
"""Raw marks of removals of stable nodes: ksmd was on its way to the next candidate;"""
FROM_REMOVAL = 0x40
"""remove_rmap_item_from_tree found the node's page gone;"""
IN_TREE = 0x20
"""the item at the cursor had one of its tree flags yet."""

_MARKED = np.zeros(256, dtype=bool)
_MARKED[[kinds.TRY_TO_MERGE_ONE_PAGE, kinds.STABLE_APPEND, kinds.BREAK_COW]] = True
_MARKS = np.zeros(256, dtype=np.uint8)
_MARKS[_MARKED] = NOT_AT_CURSOR
_MARKS[kinds.REMOVE_STABLE_NODE] = BETWEEN | FROM_REMOVAL | IN_TREE
_FEW = 8


class Own(NamedTuple):
    """ksmd's own records, in the order of the ring.

    Attributes:
        row: of each in what was handed over.
        kind: `EventKind`.
        flags: with their raw marks.
        vpn: page.
        ok: whether err is 0.
        aux: stable node.
        ts: time.
        item: which item of the visit it is about; -1 for none of them.
        place: of the item at the cursor then; -1 before the first.
        cursor: index of that item, or -1.
    """

    row: npt.NDArray[np.intp]
    kind: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint8]
    vpn: Ints
    ok: npt.NDArray[np.bool_]
    aux: npt.NDArray[np.uint64]
    ts: Ints
    item: npt.NDArray[np.intp]
    place: Ints
    cursor: npt.NDArray[np.intp]

    def where(self, kind: int) -> npt.NDArray[np.bool_]:
        """Which are of this kind."""
        found: npt.NDArray[np.bool_] = self.kind == kind
        return found

    @property
    def partner(self) -> npt.NDArray[np.bool_]:
        """Which are about a partner out of the unstable tree."""
        found: npt.NDArray[np.bool_] = _MARKED[self.kind] & (self.flags & NOT_AT_CURSOR != 0)
        return found

    @property
    def between(self) -> npt.NDArray[np.bool_]:
        """Which are about stable nodes removed behind the item at the cursor."""
        behind: npt.NDArray[np.bool_] = self.flags & BETWEEN != 0
        return self.where(kinds.REMOVE_STABLE_NODE) & behind


def is_own(held: Records) -> npt.NDArray[np.bool_]:
    """Which records are of ksmd's thread and of what it does with pages."""
    kind = held["kind"]
    own: npt.NDArray[np.bool_] = _MARKED[kind] | (kind == kinds.REPLACE_PAGE)
    nodes = kind == kinds.REMOVE_STABLE_NODE
    if nodes.any():
        own = own | (nodes & (held["rmap_item"] != 0))
    undone = true_rows(kind == kinds.BREAK_COW)
    if len(undone):
        # The kernel's own break follows, of the same page and in the same thread.
        copy = np.minimum(undone + 1, len(held) - 1)
        same = (
            (kind[copy] == kinds.COW_FAULT)
            & (held["flags"][copy] & Flag.BY_KERNEL != 0)
            & (held["mm"][copy] == held["mm"][undone])
            & (held["address"][copy] == held["address"][undone])
        )
        own[copy[same]] = True
    return own


def without_marks(records: Records) -> Records:
    """A copy as intercepting gives it."""
    clean = picked(records)
    clean["flags"] &= ~_MARKS[clean["kind"]]
    nodes = clean["kind"] == kinds.REMOVE_STABLE_NODE
    clean["rmap_item"][nodes] = 0
    return clean


def read_own(held: Records, rows: npt.NDArray[np.intp], visited: Visit) -> Own:
    """The records in these rows of `held`, and where ksmd was with each."""
    records = picked(held, rows)
    kind, flags = records["kind"], records["flags"]
    vpn = (records["address"] >> ADDRESS_SHIFT).astype(np.int64)
    item = np.full(len(rows), -1, dtype=np.intp)
    marked = _MARKED[kind]
    item[marked] = find_items(visited, records["mm"][marked], vpn[marked])
    at_cursor = marked & (flags & NOT_AT_CURSOR == 0)
    cursor = np.where(at_cursor, item, -1)
    told = at_cursor & (item >= 0)
    visited.before.rmap_item[item[told]] = records["rmap_item"][told]
    nodes = true_rows(kind == kinds.REMOVE_STABLE_NODE)
    if len(nodes):
        cursor[nodes] = find_rmap_items(visited, records["rmap_item"][nodes])
    # ksmd only goes forward; a record that names no item of the visit belongs to the one before it.
    cursor = np.maximum.accumulate(cursor)
    place = np.full(len(rows), -1, dtype=np.int64)
    place[cursor >= 0] = visited.place[cursor[cursor >= 0]]
    return Own(
        rows,
        kind,
        flags,
        vpn,
        records["err"] == 0,
        records["aux"],
        records["ts"].astype(np.int64),
        item,
        place,
        cursor,
    )


def find_items(visited: Visit, mm: npt.NDArray[np.uint64], vpn: Ints) -> npt.NDArray[np.intp]:
    """Which items of a visit these pages are; -1 for those that are none."""
    found = np.full(len(mm), -1, dtype=np.intp)
    stretches = {one.mm: one for one in visited.walk.stretches}
    for one in set(mm.tolist()) & stretches.keys():
        stretch = stretches[one]
        if stretch.first == stretch.stop:
            continue
        rows = true_rows(mm == one)
        pages = visited.walk.vpn[stretch.first : stretch.stop]
        at = np.minimum(np.searchsorted(pages, vpn[rows]), len(pages) - 1)
        found[rows] = np.where(pages[at] == vpn[rows], at + stretch.first, -1)
    return found


def find_rmap_items(visited: Visit, wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Which items of a visit these rmap_items are, by address; -1 for those that are none."""
    told = visited.walk.rmap_item
    items = np.where(told != 0, told, visited.before.rmap_item)
    if not len(items):
        return np.full(len(wanted), -1, dtype=np.intp)
    if len(wanted) <= _FEW:
        found = [true_rows(items == one)[:1] for one in wanted]
        return np.array([int(one[0]) if len(one) else -1 for one in found], dtype=np.intp)
    order = np.argsort(items)
    at = order[np.minimum(np.searchsorted(items[order], wanted), len(items) - 1)]
    return np.where(items[at] == wanted, at, -1)
