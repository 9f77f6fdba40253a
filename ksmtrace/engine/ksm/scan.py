"""The scan: the cursor's way over all processes, and what is done with each page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.merge import (
    try_to_merge_two_pages,
    try_to_merge_with_ksm_page,
    try_to_merge_with_zero_page,
)
from ksmtrace.engine.ksm.rmap_item import RmapItem
from ksmtrace.engine.ksm.rmap_list import (
    get_next_rmap_item,
    remove_rmap_item_from_tree,
    remove_trailing_rmap_items,
)
from ksmtrace.engine.ksm.smart_scan import should_skip_rmap_item
from ksmtrace.engine.ksm.stable_node import Place, StableNode, ksm_get_folio, stable_tree_append
from ksmtrace.engine.ksm.stable_tree import migrate_node, stable_tree_insert, stable_tree_search
from ksmtrace.engine.ksm.unstable_tree import unstable_tree_drop, unstable_tree_search_insert
from ksmtrace.engine.machine.faults import split_huge_page
from ksmtrace.engine.machine.memory import Frame, Mm

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm, MmSlot


def ksm_do_scan(ksm: Ksm, npages: int) -> None:
    """One batch: examine up to `npages` pages; the end of a pass ends it early.

    ksm_do_scan, all versions.
    """
    while npages > 0:
        if ksm.accelerator is not None and (examined := ksm.accelerator.examine_many(npages)):
            npages -= examined
            continue
        npages -= 1
        found = scan_get_next_rmap_item(ksm)
        if found is None:
            return
        item, page = found
        page.references += 1
        ksm.watcher.candidate(item, page)
        cmp_and_merge_page(ksm, item, page)
        page.references -= 1
        ksm.watcher.candidate_done()
        ksm.counters.pages_scanned += 1


def scan_get_next_rmap_item(ksm: Ksm) -> tuple[RmapItem, Frame] | None:
    """The next page to examine; None at the end of a pass.

    scan_get_next_rmap_item, all versions.
    """
    scan, head = ksm.scan, ksm.mm_head
    if head.next is head:
        return None
    if scan.slot is head:
        begin_pass(ksm)
    while scan.slot is not head:
        assert scan.slot.mm is not None, "only the head of the list has no mm"
        found = _next_candidate(ksm, scan.slot.mm)
        if found is not None:
            return found
        leave_mm(ksm)
    ksm.advisor.stop_scan(ksm)
    scan.seqnr += 1
    ksm.watcher.scan_stop(scan.seqnr - 1, ksm.counters.gauges())
    return None


def cmp_and_merge_page(ksm: Ksm, item: RmapItem, page: Frame) -> None:
    """Find `page` a partner, in the stable tree, then in the unstable tree.

    cmp_and_merge_page, all versions.

    Up to 6.10 a changed page is found out only after the stable tree was searched; since 6.11
    ("don't waste time searching stable tree for fast changing page") before that, so that a page
    equal to a KSM page joins it one pass later.
    """
    node: StableNode | None = page.stable_node
    early = ksm.variant.checks_before_stable_tree
    if node is not None:
        if _is_in_place(ksm, item, page, node):
            return
    elif early:
        remove_rmap_item_from_tree(ksm, item)
        if _is_done(ksm, item, page):
            return
    kpage = stable_tree_search(ksm, page)
    if kpage is page and item.head is node:
        return
    remove_rmap_item_from_tree(ksm, item)
    if kpage is not None:
        if try_to_merge_with_ksm_page(ksm, item, page, kpage) == 0:
            assert kpage.stable_node is not None, "the search found it in the tree"
            stable_tree_append(ksm, item, kpage.stable_node)
        return
    if not early and _is_done(ksm, item, page):
        return
    partner = unstable_tree_search_insert(ksm, item, page)
    if partner is not None:
        _merge_with_partner(ksm, item, page, *partner)


def _is_in_place(ksm: Ksm, item: RmapItem, page: Frame, node: StableNode) -> bool:
    # The usual case of a KSM page. A page that has come to another NUMA node takes its stable node
    # along.
    if node.place is not Place.MIGRATING and ksm.nid_of(page) != node.nid:
        migrate_node(ksm, node)
    return node.place is not Place.MIGRATING and item.head is node


def _is_done(ksm: Ksm, item: RmapItem, page: Frame) -> bool:
    # The page has changed since the last pass, or was merged with the zero page.
    checksum = ksm.memory.pool.checksum(page.data)
    if checksum != item.oldchecksum:
        item.oldchecksum = checksum
        return True
    return try_to_merge_with_zero_page(ksm, item, page)


def _merge_with_partner(
    ksm: Ksm, item: RmapItem, page: Frame, tree_item: RmapItem, tree_page: Frame
) -> None:
    tree_page.references += 1
    merged = try_to_merge_two_pages(ksm, item, page, tree_item, tree_page)
    same_compound = page.compound is not None and page.compound is tree_page.compound
    tree_page.references -= 1
    if merged:
        node = stable_tree_insert(ksm, page)
        stable_tree_append(ksm, tree_item, node)
        stable_tree_append(ksm, item, node)
    elif same_compound:
        # ksmd's own two references kept the huge page whole; now one is gone. The merge waits for
        # the next pass.
        split_huge_page(ksm.memory, page)


def begin_pass(ksm: Ksm) -> None:
    """Go to the first process, with empty unstable trees (part of scan_get_next_rmap_item)."""
    ksm.advisor.start_scan(ksm)
    ksm.watcher.scan_start(ksm.scan.seqnr)
    if not ksm.tunables["merge_across_nodes"]:
        for node in tuple(ksm.migrate_nodes):
            ksm_get_folio(ksm, node)  # frees it when stale
    unstable_tree_drop(ksm)
    _enter_mm(ksm, ksm.mm_head.next)


def leave_mm(ksm: Ksm) -> None:
    """Go to the next process (part of scan_get_next_rmap_item).

    A process that has exited, or has nothing mergeable mapped, leaves the list as well.
    """
    scan, slot = ksm.scan, ksm.scan.slot
    mm = slot.mm
    assert mm is not None, "the cursor is not at the head"
    if mm.exited:
        _enter_mm(ksm, slot)
    remove_trailing_rmap_items(ksm, mm, scan.rmap_from)
    following = slot.next
    if scan.vpn == 0:
        slot.remove()
        mm.slot = None
    if mm.exited:
        mm.ptes.release()
    _enter_mm(ksm, following)


def _enter_mm(ksm: Ksm, slot: MmSlot) -> None:
    ksm.scan.slot = slot
    ksm.scan.vpn = 0
    ksm.scan.rmap_from = 0


def _next_candidate(ksm: Ksm, mm: Mm) -> tuple[RmapItem, Frame] | None:
    # Only present anonymous pages count: holes and zero pages are passed over.
    scan = ksm.scan
    if mm.exited:
        return None
    for vma in mm.vmas:
        if not vma.mergeable or vma.end <= scan.vpn:
            continue
        vpn = max(scan.vpn, vma.start)
        while (present := mm.ptes.next_anon(vpn, vma.end)) is not None:
            vpn, page = present[0] + 1, present[1]
            item = get_next_rmap_item(ksm, mm, vpn - 1)
            scan.vpn = vpn
            if not should_skip_rmap_item(ksm, page, item):
                return item, page
        scan.vpn = vma.end
    return None
