"""All of ksmd's state in one place: the static variables of mm/ksm.c."""

from __future__ import annotations

from ksmtrace.engine.ksm.accelerator import Accelerator
from ksmtrace.engine.ksm.advisor import Advisor
from ksmtrace.engine.ksm.counters import Counters
from ksmtrace.engine.ksm.stable_node import StableNode
from ksmtrace.engine.ksm.tunables import DEFAULTS, RUN_STOP
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.content import PagePool, compare_units
from ksmtrace.engine.machine.memory import Frame, Memory, Mm
from ksmtrace.engine.machine.rbtree import RbRoot

FIRST_KEY = 0xFFFF888100000000
STRUCT_SIZE = 64
"""Keys are in place of addresses of structs: that of the n-th is FIRST_KEY + n * STRUCT_SIZE."""


class MmSlot:
    """A process registered with ksmd, or the head of the list (struct mm_slot; ksm_mm_slot, 6.1).

    Slots form a circle. A process's rmap_items, which the kernel has as a list by address, are kept
    beside its page table.

    Attributes:
        mm: None for the head.
    """

    __slots__ = ("mm", "next", "prev")

    def __init__(self, mm: Mm | None) -> None:
        self.mm = mm
        self.next = self
        self.prev = self

    def insert_before(self, place: MmSlot) -> None:
        """Join the list in front of `place` (list_add_tail)."""
        self.prev, self.next = place.prev, place
        place.prev.next = self
        place.prev = self

    def remove(self) -> None:
        """Leave the list (list_del)."""
        self.prev.next = self.next
        self.next.prev = self.prev
        self.prev = self.next = self


class Cursor:
    """The position of the scan (struct ksm_scan, all versions).

    Attributes:
        slot: the process; the head of the list between two passes.
        vpn: the next page of it; 0 before the first.
        rmap_from: number of the first page of it whose rmap_item has not been looked at
            (rmap_list).
        seqnr: passes completed (`full_scans`).
    """

    __slots__ = ("rmap_from", "seqnr", "slot", "vpn")

    def __init__(self, head: MmSlot) -> None:
        self.slot = head
        self.vpn = 0
        self.rmap_from = 0
        self.seqnr = 0


class Ksm:
    """One machine's KSM.

    Args:
        variant: which kernel this is.
        nodes: NUMA nodes of the machine.
        watcher: sees everything that happens.

    Attributes:
        tunables: the writable files by name; written through `tunables.store_tunable`.
        run: 0, 1 or 2.
        mm_head: head of the list of processes.
        scan: the cursor.
        unstable_roots: the unstable trees, by NUMA node as `stable_roots`.
        migrate_nodes: stable nodes whose page has come to another NUMA node, latest first.
        now_ms: the time; only its owner advances it.
        ksmd_ns: CPU time of ksmd; likewise.
        accelerator: does many pages' work at once; None when all is done page by page.
        stable_node_type: the class of new stable nodes.
        comparisons_known: whether `counters.comparisons` are the kernel's.
    """

    __slots__ = (
        *("_made", "_stable_roots", "accelerator", "advisor", "comparisons_known", "counters"),
        *("ksmd_ns", "memory", "migrate_nodes", "mm_head", "now_ms", "run", "scan"),
        *("stable_node_type", "tunables", "unstable_roots", "variant", "watcher"),
    )

    def __init__(self, variant: Variant, *, nodes: int = 1, watcher: Watcher | None = None) -> None:
        self.variant = variant
        self.watcher = Watcher() if watcher is None else watcher
        self.memory = Memory(variant, PagePool(variant.checksum), self.watcher)
        self.tunables = dict(DEFAULTS)
        # A version without smart scan behaves as if it were off.
        self.tunables.update(dict.fromkeys({"smart_scan"} & variant.absent_tunables, 0))
        self.counters = Counters()
        self.advisor = Advisor()
        self.run = RUN_STOP
        self.mm_head = MmSlot(None)
        self.scan = Cursor(self.mm_head)
        self._stable_roots = [RbRoot() for _ in range(nodes)]
        self.unstable_roots = [RbRoot() for _ in range(nodes)]
        self.migrate_nodes: list[StableNode] = []
        self.now_ms = 0
        self.ksmd_ns = 0
        self.accelerator: Accelerator | None = None
        self.stable_node_type = StableNode
        self.comparisons_known = True
        self._made = 0

    @property
    def stable_roots(self) -> list[RbRoot]:
        """The stable trees, by NUMA node; all pages are in the first when merging across nodes."""
        if self.accelerator is not None:
            self.accelerator.complete_stable_tree()
        return self._stable_roots

    def new_key(self) -> int:
        """A number in place of the address of a new struct; no number is used twice."""
        return FIRST_KEY + self.new_keys(1) * STRUCT_SIZE

    def new_keys(self, count: int) -> int:
        """Take the keys of `count` structs; how many had been taken before, and one."""
        first = self._made + 1
        self._made += count
        return first

    def nid_of(self, page: Frame) -> int:
        """The NUMA node whose trees `page` belongs to; 0 when merging across nodes.

        get_kpfn_nid, 3.9.
        """
        return 0 if self.tunables["merge_across_nodes"] else page.nid

    def memcmp_pages(self, page: Frame, other: Frame) -> int:
        """-1, 0 or 1, as the bytes of `page` are less than, equal to or greater than `other`'s."""
        self.counters.comparisons += 1
        # Most of compare_units is in line: this is called for every step of every walk.
        a, b = page.data.unit, other.data.unit
        if a == b:
            return 0
        if len(a) == len(b):
            return -1 if a < b else 1
        return compare_units(a, b)
