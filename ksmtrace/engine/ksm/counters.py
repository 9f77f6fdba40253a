"""ksmd's own counters, and the gauges of /sys/kernel/mm/ksm made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.machine.checksum import PAGE_SIZE

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm

RMAP_ITEM_SIZE = 64
"""Bytes of a struct rmap_item on 64-bit machines, 5.10 to 7.2."""


COUNTERS = (
    *("full_scans", "pages_scanned", "pages_skipped"),
    *("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile"),
    *("ksm_zero_pages", "stable_node_chains", "stable_node_dups", "general_profit"),
)
"""The counters of a workload's snapshot, in its order."""


class Counters:
    """The static counters of mm/ksm.c; and calls of memcmp_pages, which it does not count."""

    __slots__ = (
        *("comparisons", "pages_scanned", "pages_shared", "pages_sharing", "pages_skipped"),
        *("pages_unshared", "rmap_items", "stable_node_chains", "stable_node_dups"),
    )

    def __init__(self) -> None:
        self.pages_shared = 0
        self.pages_sharing = 0
        self.pages_unshared = 0
        self.rmap_items = 0
        self.stable_node_chains = 0
        self.stable_node_dups = 0
        self.pages_scanned = 0
        self.pages_skipped = 0
        self.comparisons = 0

    def gauges(self) -> dict[str, int]:
        """What ksmd's own thread can read as a pass ends, by name."""
        return {
            "pages_shared": self.pages_shared,
            "pages_sharing": self.pages_sharing,
            "pages_unshared": self.pages_unshared,
            "rmap_items": self.rmap_items,
        }


def read_counters(ksm: Ksm) -> dict[str, int | None]:
    """The counters of /sys/kernel/mm/ksm by name, in the order of a workload's snapshot.

    None for those that this version does not have.
    """
    counters = ksm.counters
    in_trees = counters.pages_shared + counters.pages_sharing + counters.pages_unshared
    saved = counters.pages_sharing + ksm.memory.ksm_zero_pages
    values = {
        "full_scans": ksm.scan.seqnr,
        "pages_scanned": counters.pages_scanned,
        "pages_skipped": counters.pages_skipped,
        "pages_shared": counters.pages_shared,
        "pages_sharing": counters.pages_sharing,
        "pages_unshared": counters.pages_unshared,
        "pages_volatile": max(0, counters.rmap_items - in_trees),
        "ksm_zero_pages": ksm.memory.ksm_zero_pages,
        "stable_node_chains": counters.stable_node_chains,
        "stable_node_dups": counters.stable_node_dups,
        "general_profit": saved * PAGE_SIZE - counters.rmap_items * RMAP_ITEM_SIZE,
    }
    absent = ksm.variant.absent_counters
    return {name: None if name in absent else value for name, value in values.items()}
