"""The scan: one wake-up of uksmd, and what is done with each page."""

from __future__ import annotations

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.machine.faults import do_wp_page
from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.relatives.pte_item import PteItem
from ksmtrace.engine.uksm.ladder import end_round, hash_round_finished, judge_slot
from ksmtrace.engine.uksm.merge import (
    Merge,
    cmp_and_merge_zero_page,
    try_to_merge_two_pages,
    try_to_merge_with_uksm_page,
)
from ksmtrace.engine.uksm.page_hash import HASH_STRENGTH_FULL
from ksmtrace.engine.uksm.quota import calc_scan_pages
from ksmtrace.engine.uksm.slot import Slot, UksmItem
from ksmtrace.engine.uksm.stable_node import stable_tree_append
from ksmtrace.engine.uksm.stable_tree import (
    stable_tree_delta_hash,
    stable_tree_insert,
    stable_tree_search,
)
from ksmtrace.engine.uksm.state import Uksm
from ksmtrace.engine.uksm.unstable_tree import (
    remove_rmap_item_from_tree,
    unstable_tree_search_insert,
)
from ksmtrace.engine.uksm.vmas import cleanup_vma_slots, enter_all_slots


def uksm_do_scan(uksm: Uksm) -> bool:
    """One wake-up: every rung has its quota of visits (uksm_do_scan).

    A rung that comes to its end begins again: the quota ends it, not the round.

    Returns:
        Whether a round ended with it.
    """
    for rung in uksm.rungs:
        while rung.pages_to_scan and rung.count:
            slot = rung.current
            assert slot is not None, "the rung is not empty"
            if slot.dead:
                rung.remove(slot, uksm.page_time)
                continue
            scan_vma_one_page(uksm, slot)
            rung.pages_to_scan -= 1
            if rung.offset + rung.step > slot.pages - 1 or slot.fully_scanned:
                judge_slot(uksm, slot)
            else:
                rung.offset += rung.step
    cleanup_vma_slots(uksm)
    enter_all_slots(uksm)
    finished = end_round(uksm)
    if finished and hash_round_finished(uksm):
        _adjust_strength(uksm)
    calc_scan_pages(uksm)
    return finished


def scan_vma_one_page(uksm: Uksm, slot: Slot) -> None:
    """Visit a page of `slot`, drawn by lot from those left of this pass over it.

    scan_vma_one_page, get_next_rmap_item.
    """
    if not slot.is_scanned:
        slot.prepare()
        uksm.pages_total += slot.pages
    at = slot.pages_scanned % slot.pages
    index = slot.swapped(at, at + uksm.chance.randrange(slot.pages - at))
    page = slot.mm.ptes.get(slot.first + index)
    if page is not None and page.anon:
        page.references += 1
        _examine(uksm, slot, index, page)
        page.references -= 1
    else:
        _forget_item(uksm, slot, index)
    slot.pages_scanned += 1
    slot.this_sampled += 1
    if slot.fully_scanned_round != uksm.full_scans:
        uksm.scanned_virtual_pages += 1
    if slot.fully_scanned:
        slot.fully_scanned_round = uksm.full_scans


def cmp_and_merge_page(uksm: Uksm, item: UksmItem) -> None:
    """Find the item's page a partner, among KSM pages, then among those that wait.

    cmp_and_merge_page.
    """
    remove_rmap_item_from_tree(uksm, item)
    kpage = stable_tree_search(uksm, item)
    if kpage is not None:
        result = try_to_merge_with_uksm_page(uksm, item, kpage)
        if result is Merge.DONE:
            stable_tree_append(uksm, item, kpage.stable_node, log=True)
            return
        if result is Merge.COLLI and item.hash_max:
            return
    tree_item = unstable_tree_search_insert(uksm, item)
    if tree_item is None:
        return
    tree_item.page.references += 1
    result = try_to_merge_two_pages(uksm, item, tree_item)
    tree_item.page.references -= 1
    remove_rmap_item_from_tree(uksm, tree_item)
    if result is Merge.DONE:
        _place(uksm, item, tree_item)


def _examine(uksm: Uksm, slot: Slot, index: int, page: Frame) -> None:
    checksum = uksm.hashes.of(page.data)
    uksm.strength.pos += max(0, HASH_STRENGTH_FULL - uksm.strength.strength)
    uksm.pages_scanned += 1
    item = slot.items[index]
    may_be_zero = uksm.hashes.is_zero(checksum)
    if item is None and may_be_zero and _can_be_placed(uksm, page):
        entry = PteItem(slot.mm, slot.first + index)
        uksm.watcher.candidate(entry, page)
        cmp_and_merge_zero_page(uksm, entry, page)
        slot.pages_merged += 1
        uksm.watcher.candidate_done()
        return
    if item is None:
        item = UksmItem(uksm.new_key(), slot, slot.first + index, page)
        slot.items[index] = item
        uksm.items += 1
    item.page = page
    uksm.watcher.candidate(item, page)
    item.oldchecksum = checksum
    if may_be_zero and cmp_and_merge_zero_page(uksm, item, page):
        slot.pages_merged += 1
        uksm.watcher.candidate_done()
        _forget_item(uksm, slot, index)
        return
    if may_be_zero:
        uksm.strength.neg += uksm.memcmp_cost // 2
    if not (page.ksm and item.tree is Tree.STABLE):
        cmp_and_merge_page(uksm, item)
    uksm.watcher.candidate_done()


def _can_be_placed(uksm: Uksm, page: Frame) -> bool:
    # So that only a page that stays gets an item.
    parts = (page,) if page.compound is None else page.compound.frames
    return page.data is uksm.zero_page.data and sum(part.references for part in parts) == 1


def _forget_item(uksm: Uksm, slot: Slot, index: int) -> None:
    # free_entry_item
    item = slot.items[index]
    if item is not None:
        remove_rmap_item_from_tree(uksm, item, freed=True)
        slot.items[index] = None


def _place(uksm: Uksm, item: UksmItem, tree_item: UksmItem) -> None:
    node, visited, other = stable_tree_insert(uksm, item.page, item, tree_item)
    if node is not None and other:
        stable_tree_append(uksm, tree_item, node, log=False)
    if node is not None and visited:
        stable_tree_append(uksm, item, node, log=True)
    for one, placed in ((item, visited), (tree_item, other)):
        if not placed:
            _break_cow(uksm, one)


def _break_cow(uksm: Uksm, item: UksmItem) -> None:
    uksm.watcher.break_cow(item)
    frame = item.mm.ptes.get(item.vpn)
    if frame is not None and frame.ksm:
        item.slot.pages_cowed += 1
        do_wp_page(uksm.memory, item.mm, item.vpn, frame, by_kernel=True)


def _adjust_strength(uksm: Uksm) -> None:
    if uksm.strength.adjust(uksm.pages_scanned, uksm.full_scans):
        uksm.hashes.change_strength(uksm.strength.strength)
        stable_tree_delta_hash(uksm)
        uksm.hash_round += 1
        uksm.unstable_tree.clear()
