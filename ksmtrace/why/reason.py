"""The reasons for which a page does not merge, in the order in which the kernel comes to them."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType


class Reason(IntEnum):
    """Why a page does not merge, or that it has. Of each page it is the first that holds."""

    SHARED = 0
    HUGETLB = 1
    SPECIAL = 2
    NOT_ADVISED = 3
    NEVER_TOUCHED = 4
    SWAPPED = 5
    FILE = 6
    ZERO_PAGE = 7
    HUGE = 8
    MERGED = 9
    CHANGING = 10
    HELD = 11
    CHAIN_FULL = 12
    WAITING = 13
    FORKED = 14
    UNIQUE = 15
    UNREAD = 16

    @property
    def key(self) -> str:
        """Its name in the JSON document."""
        return self.name.lower()


MEANINGS = MappingProxyType(
    {
        Reason.SHARED: "of a shared mapping: never merged",
        Reason.HUGETLB: "of hugetlb: never merged",
        Reason.SPECIAL: "of a device's or the kernel's mapping: never merged",
        Reason.NOT_ADVISED: "of a mapping that nobody made mergeable, which it could be",
        Reason.NEVER_TOUCHED: "not there: never touched, or given back",
        Reason.SWAPPED: "in swap",
        Reason.FILE: "a file's own page, which was not written to here",
        Reason.ZERO_PAGE: "the zero page: it takes no memory",
        Reason.HUGE: "part of a huge page: it merges only if that is split",
        Reason.MERGED: "merged",
        Reason.CHANGING: "changing: another content at the second look",
        Reason.HELD: "held: something has a reference on it, or on its equal, as direct I/O does",
        Reason.CHAIN_FULL: "alone beside full KSM pages (max_page_sharing)",
        Reason.WAITING: "waiting for ksmd: equal to another page, or to a KSM page with room",
        Reason.FORKED: "shared with a fork already, and equal to no other frame",
        Reason.UNIQUE: "unique: equal to no other page that may merge",
        Reason.UNREAD: "not read: gone meanwhile, or the look was cut short",
    }
)
"""Each in words, for a count of pages."""

CONDITIONS = MappingProxyType(
    {
        Reason.SHARED: "vma_ksm_compatible: VM_SHARED or VM_MAYSHARE (6.6; ksm_madvise before)",
        Reason.HUGETLB: "vma_ksm_compatible: VM_HUGETLB (6.6; ksm_madvise before)",
        Reason.SPECIAL: (
            "vma_ksm_compatible: VM_PFNMAP, VM_IO, VM_DONTEXPAND, VM_MIXEDMAP, from 6.11 on "
            "VM_DROPPABLE (6.6; ksm_madvise before)"
        ),
        Reason.NOT_ADVISED: "scan_get_next_rmap_item: no VM_MERGEABLE in vm_flags (2.6.32)",
        Reason.NEVER_TOUCHED: (
            "ksm_next_page_pmd_entry: there is no entry in the page table (6.18; folio_walk_start "
            "from 6.12 on, follow_page before)"
        ),
        Reason.SWAPPED: (
            "ksm_next_page_pmd_entry: not pte_present (6.18; folio_walk_start from 6.12 on, "
            "follow_page before)"
        ),
        Reason.FILE: (
            "ksm_next_page_pmd_entry: not folio_test_anon (6.18; in scan_get_next_rmap_item "
            "before, and PageAnon of the page up to 6.11)"
        ),
        Reason.ZERO_PAGE: (
            "ksm_next_page_pmd_entry: vm_normal_page has no page for the zero page (6.18; in "
            "folio_walk_start from 6.12 on, in follow_page before)"
        ),
        Reason.HUGE: "try_to_merge_one_page: split_huge_page, once an equal page is found (4.5)",
        Reason.MERGED: "cmp_and_merge_page: rmap_item->head is the page's stable node (3.9)",
        Reason.CHANGING: (
            "cmp_and_merge_page: rmap_item->oldchecksum differs from the page's (2.6.32; from 6.11 "
            "on before the stable tree is searched)"
        ),
        Reason.HELD: (
            "write_protect_page: the page's references are more than its mappings and ksmd's own "
            "(2.6.32)"
        ),
        Reason.CHAIN_FULL: (
            "stable_node_dup: no dup has fewer mappings than ksm_max_page_sharing (4.13)"
        ),
        Reason.WAITING: (
            "cmp_and_merge_page: merges once stable_tree_search or unstable_tree_search_insert "
            "finds the equal page (2.6.32)"
        ),
        Reason.FORKED: "unstable_tree_search_insert: the page in the tree is itself (2.6.32)",
        Reason.UNIQUE: "unstable_tree_search_insert: no page in the tree is equal (2.6.32)",
        Reason.UNREAD: "",
    }
)
"""Where mm/ksm.c decides so, and since which release; "" for what is not the kernel's."""

OF_MAPPING = frozenset({Reason.SHARED, Reason.HUGETLB, Reason.SPECIAL, Reason.NOT_ADVISED})
"""Reasons that hold for all pages of a mapping."""
