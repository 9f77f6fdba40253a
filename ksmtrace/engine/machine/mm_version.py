"""What memory management of one kernel version does otherwise than another's, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MmVersion:
    """One version of mm/ as far as the engine follows it, except for mm/ksm.c.

    Attributes:
        counts_zero_pages: zero pages that KSM placed are marked and counted (6.6, e2942062e01d
            "ksm: count all zero pages placed by KSM").
        split_needs_sole_reference: a huge page that somebody other than the caller holds, even at
            another part, is not split (4.5, ddc58f27f9ee "mm: drop tail page refcounting").
        split_unmaps_zero_pages: parts of a split huge page that hold only zeroes become the zero
            page (6.12, b1f202060afe "mm: remap unused subpages to shared zeropage when splitting
            isolated thp").
        huge_cow_copies_all: a write to a shared huge page copies all of it (before 5.8,
            3917c80280c9 "thp: change CoW semantics for anon-THP").
        huge_zero_write_allocates: a write to the huge zero page gives a huge page (before 5.8, and
            again from 6.13).
        reuses_huge_parts: a part of a huge page, once shared by fork, can be written in place again
            (6.15, 1da190f4d0a6 "mm: Copy-on-Write (COW) reuse support for PTE-mapped THP").
        discard_frees_page_tables: MADV_DONTNEED of 2 MiB makes room for a huge page again (6.14,
            6375e95f381e "mm: pgtable: reclaim empty PTE page in madvise(MADV_DONTNEED)").
        reuses_pinned: a page that is mapped once is written to in place although somebody holds it
            (reuse_swap_page, before 5.9, 09854ba94c6a "mm: do_wp_page() simplification").
        cow_fault_result: what do_wp_page returns for a copy; 8 is VM_FAULT_WRITE, gone in 6.2.
    """

    counts_zero_pages: bool
    split_needs_sole_reference: bool
    split_unmaps_zero_pages: bool
    huge_cow_copies_all: bool
    huge_zero_write_allocates: bool
    reuses_huge_parts: bool
    discard_frees_page_tables: bool
    reuses_pinned: bool
    cow_fault_result: int
