"""Merging: an entry of a page table comes to map a KSM page or the zero page."""

from __future__ import annotations

from enum import Enum, auto
from errno import EFAULT

from ksmtrace.engine.ksm.watcher import Tracked
from ksmtrace.engine.machine.faults import split_huge_page
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.engine.uksm.slot import UksmItem
from ksmtrace.engine.uksm.state import Uksm
from ksmtrace.engine.uksm.unstable_tree import hash_max_cost


class Merge(Enum):
    """How a merge ended: the codes MERGE_ERR_*, without that of a page that changes meanwhile."""

    DONE = auto()
    PGERR = auto()
    COLLI = auto()
    COLLI_MAX = auto()


def write_protect_page(uksm: Uksm, mm: Mm, vpn: int, page: Frame) -> bool:
    """Make the entry of `page` read-only, after a huge page has been split (write_protect_page).

    Returns:
        False where the page is not mapped there any more, is a KSM page, or is held by somebody
        other than uksmd.
    """
    if page.compound is not None and not split_huge_page(uksm.memory, page):
        return False
    if page.ksm or mm.ptes.get(vpn) is not page or page.references != 1:
        return False
    page.exclusive = False
    return True


def try_to_merge_with_uksm_page(uksm: Uksm, item: UksmItem, kpage: Frame) -> Merge:
    """Map `kpage` in the place of the item's page (try_to_merge_with_uksm_page).

    Where they differ, it is hashed again, to tell a collision from a change (check_collision).
    """
    page = item.page
    if page is kpage:
        uksm.watcher.merged_one(item, page, kpage, 0)
        return Merge.DONE
    was_compound = page.compound is not None
    result = Merge.PGERR
    if write_protect_page(uksm, item.mm, item.vpn, page):
        uksm.comparisons += 1
        result = Merge.DONE if page.data is kpage.data else _collision(uksm, item)
    done = result is Merge.DONE
    if done:
        uksm.memory.replace_frame(item.mm, item.vpn, kpage)
    _tell(uksm, item, page, kpage, done=done, was_compound=was_compound)
    return result


def try_to_merge_two_pages(uksm: Uksm, item: UksmItem, tree_item: UksmItem) -> Merge:
    """The item's page becomes a KSM page, and that of `tree_item` gives way to it.

    try_to_merge_two_pages. When the second half fails, the first is undone without a copy. Pages
    that differ have equal hash_max, by which `tree_item` was found: a collision, or that page has
    changed since. UKSM does not tell these apart.
    """
    page, tree_page = item.page, tree_item.page
    was_compound = page.compound is not None
    protected = write_protect_page(uksm, item.mm, item.vpn, page)
    _tell(uksm, item, page, None, done=protected, was_compound=was_compound)
    if not protected:
        return Merge.PGERR
    made_in, page.ksm, page.stable_node = page.stable_node, True, None
    was_compound = tree_page.compound is not None
    result = Merge.PGERR
    if write_protect_page(uksm, tree_item.mm, tree_item.vpn, tree_page):
        uksm.comparisons += 1
        result = Merge.DONE if page.data is tree_page.data else Merge.COLLI_MAX
    done = result is Merge.DONE
    if done:
        uksm.memory.replace_frame(tree_item.mm, tree_item.vpn, page)
    _tell(uksm, tree_item, tree_page, page, done=done, was_compound=was_compound)
    if not done:
        page.ksm, page.stable_node = False, made_in
    return result


def try_merge_with_stable(
    uksm: Uksm, item: UksmItem, tree_item: UksmItem, page: Frame, tree_page: Frame
) -> tuple[bool, bool]:
    """Both entries, which map `page`, come to map `tree_page` (try_merge_with_stable).

    Returns:
        Whether the first did, and the second.
    """
    moved = []
    for one in (item, tree_item):
        if one.mm.ptes.get(one.vpn) is not page:
            break
        uksm.memory.replace_frame(one.mm, one.vpn, tree_page)
        _tell(uksm, one, page, tree_page, done=True, was_compound=False)
        moved.append(one)
    return item in moved, tree_item in moved


def cmp_and_merge_zero_page(uksm: Uksm, entry: Tracked, page: Frame) -> bool:
    """Map the zero page in the place of `page`, if that is empty (cmp_and_merge_zero_page)."""
    was_compound = page.compound is not None
    done = write_protect_page(uksm, entry.mm, entry.vpn, page)
    done = done and page.data is uksm.zero_page.data
    if done:
        uksm.memory.map_frame(entry.mm, entry.vpn, uksm.zero_page)
        uksm.memory.mark_ksm_zero_page(entry.mm, entry.vpn)
    _tell(uksm, entry, page, uksm.zero_page, done=done, was_compound=was_compound)
    return done


def _collision(uksm: Uksm, item: UksmItem) -> Merge:
    # check_collision
    if item.hash_max:
        uksm.strength.neg += uksm.memcmp_cost + 2 * hash_max_cost(uksm)
    else:
        uksm.strength.neg += uksm.memcmp_cost + uksm.strength.strength
    return Merge.COLLI


def _tell(
    uksm: Uksm, item: Tracked, page: Frame, kpage: Frame | None, *, done: bool, was_compound: bool
) -> None:
    err = 0 if done else -EFAULT
    uksm.watcher.merged_one(item, page, kpage, err, was_compound=was_compound)
    if done and kpage is not None:
        uksm.watcher.replaced(item, page, kpage)
