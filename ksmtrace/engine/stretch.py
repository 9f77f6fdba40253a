"""Stretches: neighbouring pages at which nothing happened when ksmd last came, so that it can pass over them at once.

Part of the fast mode alone. A KSM page whose rmap_item has its place costs ksmd a glance; a page that has no partner leaves the
unstable tree and joins the new one. When no other page has the same content, and none of the pages was touched since, this holds
for a whole stretch: its rmap_items join together, and its events are made together.

Whatever changes a page or its entry must call `forget`; an rmap_item that is taken from its tree, `leaves_tree`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.page_table import BLOCK_MASK, BLOCK_SHIFT
from ksmtrace.engine.rmap_item import RmapItem, Tree
from ksmtrace.engine.stable_tree import index_holds

if TYPE_CHECKING:
    from ksmtrace.engine.memory import Frame, Mm
    from ksmtrace.engine.state import Ksm
    from ksmtrace.engine.unstable_index import UnstableIndex

_LEAST = 32
"""A shorter stretch costs more than its pages one by one."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Pages of one process without a gap, within one block of its page table.

    Attributes:
        first: number of the first page.
        items: rmap_items, all settled: in the stable tree, or without a partner in the unstable tree.
        unstable: those in the unstable tree.
        units: their contents, as `PageData.unit`; no two are equal.
        rank: before which page how many of `unstable` come; one more than there are pages.
        columns: of all pages, frame numbers; of their rmap_items, keys, keys of stable nodes or 0, checksums.
        empty: whether one of `unstable` has an empty page.
    """

    first: int
    items: list[RmapItem]
    unstable: list[RmapItem]
    units: list[bytes]
    rank: npt.NDArray[np.uint16]
    columns: npt.NDArray[np.uint64]
    empty: bool


def forget(mm: Mm, vpn: int) -> None:
    """Something about page `vpn` changes: it is in no stretch any more."""
    mm.stretches.pop(vpn >> BLOCK_SHIFT, None)


def leaves_tree(item: RmapItem) -> None:
    """`item` leaves its tree by itself, and may not come back: its stretch, if it is in one, is no more."""
    stretches, vpn = item.mm.stretches, item.vpn
    if stretches:
        stretch = stretches.get(vpn >> BLOCK_SHIFT)
        if stretch is not None and 0 <= vpn - stretch.first < len(stretch.items):
            del stretches[vpn >> BLOCK_SHIFT]


def pass_over(ksm: Ksm, npages: int) -> int:
    """Examine up to `npages` pages at the cursor, if they are in a stretch; returns how many."""
    scan, index = ksm.scan, ksm.unstable_index
    mm = scan.slot.mm
    if index is None or mm is None or scan.vpn >> BLOCK_SHIFT == scan.unsettled:
        return 0
    place = _place(mm, scan.vpn)
    if place is None:
        return 0
    vpn, end = place
    scan.unsettled = vpn >> BLOCK_SHIFT
    stretch = mm.stretches.get(scan.unsettled)
    if stretch is None:
        stretch = _settle(ksm, mm, vpn, end)
    if stretch is None:
        return 0
    begin = vpn - stretch.first
    stop = min(begin + npages, len(stretch.items))
    if not (
        0 <= begin < stop
        and stretch.first + stop <= end
        and scan.rmap_list.rmap_list is stretch.items[begin]
        and _rejoin(ksm, index, stretch, begin, stop)
    ):
        return 0
    if stop < len(stretch.items):
        scan.unsettled = -1
    scan.vpn = stretch.first + stop
    scan.rmap_list = stretch.items[stop - 1]
    ksm.counters.pages_scanned += stop - begin
    return stop - begin


def _place(mm: Mm, vpn: int) -> tuple[int, int] | None:
    # The next page that ksmd may look at, and the end of its mapping.
    if mm.exited:
        return None
    for vma in mm.vmas:
        if vma.mergeable and vpn < vma.end:
            return max(vpn, vma.start), vma.end
    return None


def _rejoin(ksm: Ksm, index: UnstableIndex, stretch: Stretch, begin: int, stop: int) -> bool:
    # All pages without a partner leave the old unstable tree and join the new one, if each is alone with its content.
    if ksm.tunables["merge_across_nodes"] != 1:
        return False
    low, high = int(stretch.rank[begin]), int(stretch.rank[stop])
    if low == high:
        ksm.watcher.settled(stretch, begin, stop)
        return True
    units, joining = stretch.units[low:high], stretch.unstable[low:high]
    if (
        ksm.tunables["smart_scan"]
        or (stretch.empty and ksm.tunables["use_zero_pages"])
        or ksm.memory.changed
        or index.built
        or not index_holds(ksm)
        or not ksm.stable_index.keys().isdisjoint(units)
        or not index.items.keys().isdisjoint(units)
    ):
        return False
    ksm.watcher.settled(stretch, begin, stop)
    index.items.update(zip(units, joining, strict=True))
    index.log += joining
    seqnr = ksm.scan.seqnr & 0xFF
    for item in joining:
        item.seqnr = seqnr
    return True


def _settle(ksm: Ksm, mm: Mm, vpn: int, end: int) -> Stretch | None:
    # A new stretch from `vpn` on, as far as pages are settled.
    block = mm.ptes.blocks.get(vpn >> BLOCK_SHIFT)
    if block is None:
        return None
    item = ksm.scan.rmap_list.rmap_list
    items: list[RmapItem] = []
    frames: list[Frame] = []
    seen: set[bytes] = set()
    for at in range(vpn, min(end, (vpn | BLOCK_MASK) + 1)):
        frame = block[at & BLOCK_MASK]
        if frame is None or item is None or item.vpn != at or not _is_settled(item, frame):
            break
        if frame.stable_node is None:
            unit = frame.data.unit
            if unit in seen:
                break
            seen.add(unit)
        items.append(item)
        frames.append(frame)
        item = item.rmap_list
    if len(items) < _LEAST:
        return None
    stretch = mm.stretches[vpn >> BLOCK_SHIFT] = _make(ksm, vpn, items, frames)
    return stretch


def _is_settled(item: RmapItem, frame: Frame) -> bool:
    node = frame.stable_node
    if node is not None:
        return item.head is node
    data = frame.data
    return (
        item.tree is Tree.UNSTABLE
        and data.checksum_memo == item.oldchecksum
        and item.rb_key is data.unit
        and frame.mapcount == 1
        and frame.anon
    )


def _make(ksm: Ksm, vpn: int, items: list[RmapItem], frames: list[Frame]) -> Stretch:
    alone = [item.tree is Tree.UNSTABLE for item in items]
    columns = [
        [frame.pfn for frame in frames],
        [item.key for item in items],
        [0 if item.head is None else item.head.key for item in items],
        [item.oldchecksum for item in items],
    ]
    unstable = [item for item in items if item.tree is Tree.UNSTABLE]
    empty = ksm.memory.pool.zero.unit
    return Stretch(
        first=vpn,
        items=items,
        unstable=unstable,
        units=[item.rb_key for item in unstable],
        rank=np.cumsum([False, *alone], dtype=np.uint16),
        columns=np.array(columns, dtype=np.uint64),
        empty=any(item.rb_key == empty for item in unstable),
    )
