"""What one version of KSM does otherwise than another, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.chains import Found
    from ksmtrace.engine.ksm.stable_node import StableNode
    from ksmtrace.engine.ksm.state import Ksm
    from ksmtrace.engine.ksm.watcher import Watcher
    from ksmtrace.engine.machine.bulk_checksum import Checksum
    from ksmtrace.engine.machine.rbtree import RbRoot
    from ksmtrace.engine.machine.scanner import Scanner


class Look(Protocol):
    """How a search looks at a node of the stable tree; see `ksmtrace.engine.ksm.chains`."""

    def __call__(self, ksm: Ksm, node: StableNode, root: RbRoot, *, prune: bool) -> Found | None:
        """The page that stands for `node`; None when the search must start again."""
        ...


@dataclass(frozen=True, slots=True)
class Variant:
    """One version of KSM, or a relative of it.

    Attributes:
        since: the upstream release that brought the first of what sets this version apart from the one
            before it; of several, one that ksmd's decisions depend on comes before one that they do not.
        make: the algorithm at work, for a number of NUMA nodes.
        checksum: calc_checksum.
        look: how searches look at a node of the stable tree.
        chains: stable nodes have dups under max_page_sharing (4.13).
        checks_before_stable_tree: the checksum is tested, and the zero page tried, first (6.11).
        counts_zero_pages: KSM's zero pages are marked, counted, and unmerged (6.6).
        absent_tunables: files of /sys/kernel/mm/ksm that came later, of `tunables.DEFAULTS`.
        absent_counters: counters that came later: files of `counters.COUNTERS`, and cow_ksm of /proc/vmstat.
        split_needs_sole_reference: a huge page that ksmd holds twice is not split (4.5, new reference counts).
        split_unmaps_zero_pages: zero-filled parts of a split huge page become the zero page (6.12, b1f202060afe
            "mm: remap unused subpages to shared zeropage when splitting isolated thp").
        huge_cow_copies_all: a write to a shared huge page copies all of it (before 5.8).
        huge_zero_write_allocates: a write to the huge zero page gives a huge page (before 5.8, and again from 6.13).
        reuses_huge_parts: a part of a huge page, once shared by fork, can be written in place again (6.15).
        discard_frees_page_tables: MADV_DONTNEED of 2 MiB makes room for a huge page again (6.14).
        huge_pages: whether this variant knows huge pages.
        cow_fault_result: what do_wp_page returns for a copy; 8 is VM_FAULT_WRITE, gone in 6.2.
    """

    name: str
    since: tuple[int, int]
    make: Callable[[Variant, int, Watcher], Scanner]
    checksum: Checksum
    look: Look
    chains: bool
    checks_before_stable_tree: bool
    counts_zero_pages: bool
    absent_tunables: frozenset[str]
    absent_counters: frozenset[str]
    split_needs_sole_reference: bool
    split_unmaps_zero_pages: bool
    huge_cow_copies_all: bool
    huge_zero_write_allocates: bool
    reuses_huge_parts: bool
    discard_frees_page_tables: bool
    huge_pages: bool
    cow_fault_result: int
