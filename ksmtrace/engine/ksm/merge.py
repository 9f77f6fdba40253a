"""Merging: a page becomes a KSM page, or gives way to one."""

from __future__ import annotations

from errno import EFAULT
from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.rmap_item import RmapItem
from ksmtrace.engine.ksm.rmap_list import remove_rmap_item_from_tree
from ksmtrace.engine.ksm.unmerge import break_cow
from ksmtrace.engine.ksm.unstable_tree import find_mergeable_vma
from ksmtrace.engine.machine.faults import split_huge_page
from ksmtrace.engine.machine.memory import Frame

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


def write_protect_page(item: RmapItem, page: Frame) -> int:
    """Make the entry of `page` read-only (write_protect_page, all versions).

    Returns:
        0, or -EFAULT: `page` is not mapped there any more, is held by somebody other than ksmd (a
        pin, such as O_DIRECT's), or is a KSM page: those have no anon_vma by which its address
        could be found (page_address_in_vma).
    """
    if page.ksm or item.mm.ptes.get(item.vpn) is not page or page.references != 1:
        return -EFAULT
    page.exclusive = False
    return 0


def replace_page(ksm: Ksm, item: RmapItem, kpage: Frame) -> int:
    """Map `kpage`, a KSM page or the zero page, in place of the page there.

    replace_page, all versions.

    Returns:
        0. The kernel's own fails when the entry has changed meanwhile.
    """
    ksm.memory.replace_frame(item.mm, item.vpn, kpage)
    if not kpage.anon:
        ksm.memory.mark_ksm_zero_page(item.mm, item.vpn)
    return 0


def try_to_merge_one_page(ksm: Ksm, item: RmapItem, page: Frame, kpage: Frame | None) -> int:
    """Map `kpage` instead of `page`; without a `kpage`, `page` becomes a KSM page itself.

    try_to_merge_one_page, all versions. A huge page is split first.

    Returns:
        0, also when `page` is `kpage` (a fork's copy of the entry); else -EFAULT.
    """
    err, was_compound = -EFAULT, page.compound is not None
    if page is kpage:
        err = 0
    elif page.compound is None or split_huge_page(ksm.memory, page):
        err = write_protect_page(item, page)
        if err == 0 and kpage is None:
            page.ksm = True
            page.stable_node = None
        elif err == 0 and kpage is not None:
            same = ksm.memcmp_pages(page, kpage) == 0
            err = replace_page(ksm, item, kpage) if same else -EFAULT
    ksm.watcher.merged_one(item, page, kpage, err, was_compound=was_compound)
    if err == 0 and kpage is not None and kpage is not page:
        ksm.watcher.replaced(item, page, kpage)
    return err


def try_to_merge_with_ksm_page(ksm: Ksm, item: RmapItem, page: Frame, kpage: Frame | None) -> int:
    """`try_to_merge_one_page`, then `item` leaves its tree.

    try_to_merge_with_ksm_page, all versions.

    Returns:
        0 or -EFAULT; then `item` is where it was.
    """
    if find_mergeable_vma(item.mm, item.vpn) is None:
        return -EFAULT
    err = try_to_merge_one_page(ksm, item, page, kpage)
    if err == 0:
        remove_rmap_item_from_tree(ksm, item)
    return err


def try_to_merge_two_pages(
    ksm: Ksm, item: RmapItem, page: Frame, tree_item: RmapItem, tree_page: Frame
) -> bool:
    """`page`, just scanned, becomes a KSM page, and `tree_page` gives way to it.

    try_to_merge_two_pages, all versions.

    Returns:
        Whether both halves succeeded; when only the first did, it has been undone.
    """
    if try_to_merge_with_ksm_page(ksm, item, page, None):
        return False
    if try_to_merge_with_ksm_page(ksm, tree_item, tree_page, page):
        break_cow(ksm, item)
        return False
    return True


def try_to_merge_with_zero_page(ksm: Ksm, item: RmapItem, page: Frame) -> bool:
    """Map the zero page instead of `page`, if that is empty and use_zero_pages is on.

    try_to_merge_with_zero_page since 6.11; part of cmp_and_merge_page before (4.12).

    Returns:
        Whether ksmd is done with the page: it was merged, or its mapping is gone.
    """
    if not ksm.tunables["use_zero_pages"]:
        return False
    if item.oldchecksum != ksm.memory.pool.checksum(ksm.memory.pool.zero):
        return False
    if find_mergeable_vma(item.mm, item.vpn) is None:
        return True
    return try_to_merge_one_page(ksm, item, page, ksm.memory.zero_page) == 0
