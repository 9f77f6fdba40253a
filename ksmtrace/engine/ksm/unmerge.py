"""Unmerging: private copies in place of KSM pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.rmap_item import RmapItem
from ksmtrace.engine.ksm.rmap_list import remove_trailing_rmap_items
from ksmtrace.engine.ksm.stable_tree import remove_all_stable_nodes
from ksmtrace.engine.ksm.unstable_tree import find_mergeable_vma
from ksmtrace.engine.machine.faults import do_wp_page
from ksmtrace.engine.machine.memory import Mm

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


def break_ksm(ksm: Ksm, mm: Mm, first: int, end: int) -> None:
    """Make pages `first` to `end` - 1 private that are KSM pages or, from 6.6 on, KSM's zero pages.

    break_ksm, all versions; rmap_items stay until ksmd comes. Up to 6.18 the kernel calls it for
    each page, from unmerge_ksm_pages; since 6.19 for a range (5d4939fc2258 "ksm: perform a
    range-walk in break_ksm", 05c3fa9c9fa6 "ksm: replace function unmerge_ksm_pages with
    break_ksm"). The same pages are copied in the same order.
    """
    for vpn in range(first, end):
        frame = mm.ptes.get(vpn)
        if frame is not None and (frame.ksm or vpn in mm.ksm_zero):
            do_wp_page(ksm.memory, mm, vpn, frame, by_kernel=True)


def break_cow(ksm: Ksm, item: RmapItem) -> None:
    """Undo the first half of a merge whose second half failed (break_cow, all versions)."""
    ksm.watcher.break_cow(item)
    if find_mergeable_vma(item.mm, item.vpn) is not None:
        break_ksm(ksm, item.mm, item.vpn, item.vpn + 1)


def unmerge_and_remove_all_rmap_items(ksm: Ksm) -> None:
    """What writing 2 to `run` does (unmerge_and_remove_all_rmap_items, all versions).

    KSM pages that a fork has put outside of mergeable memory stay, and so do their stable nodes.
    """
    slot = ksm.mm_head.next
    while slot is not ksm.mm_head:
        mm = slot.mm
        assert mm is not None, "only the head has no mm"
        if not mm.exited:
            for vma in mm.vmas:
                if vma.mergeable:
                    break_ksm(ksm, mm, vma.start, vma.end)
        remove_trailing_rmap_items(ksm, mm, 0)
        following = slot.next
        if mm.exited:
            slot.remove()
            mm.slot = None
            mm.ptes.release()
        slot = following
    ksm.scan.slot = ksm.mm_head
    remove_all_stable_nodes(ksm)
    ksm.scan.seqnr = 0
