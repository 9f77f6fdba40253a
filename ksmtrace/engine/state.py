"""All of ksmd's state in one place: the static variables of mm/ksm.c."""

from __future__ import annotations

from ksmtrace.engine.advisor import Advisor
from ksmtrace.engine.counters import Counters
from ksmtrace.engine.memory import Frame, Memory
from ksmtrace.engine.mm_slot import MmSlot
from ksmtrace.engine.ordered import compare_units
from ksmtrace.engine.rbtree import RbRoot
from ksmtrace.engine.scan import Cursor
from ksmtrace.engine.stable_node import StableNode
from ksmtrace.engine.tunables import DEFAULTS, RUN_STOP
from ksmtrace.engine.unstable_index import UnstableIndex
from ksmtrace.engine.variant import Variant
from ksmtrace.engine.watcher import Watcher

_FIRST_KEY = 0xFFFF888100000000
_STRUCT_SIZE = 64


class Ksm:
    """One machine's KSM.

    Args:
        variant: which kernel this is.
        nodes: NUMA nodes of the machine.
        watcher: told of everything that happens.

    Attributes:
        tunables: the writable files by name; written through `tunables.store_tunable`.
        run: 0, 1 or 2.
        mm_head: head of the list of processes.
        scan: the cursor.
        stable_roots: the stable trees, by NUMA node; all pages are in the first when merging across nodes.
        unstable_roots: likewise the unstable trees.
        stable_index: the nodes of the stable tree that are no chains, by `PageData.unit`; valid with one tree only.
        unstable_index: in the fast mode, what stands for the unstable tree.
        migrate_nodes: stable nodes whose page has come to another NUMA node, latest first.
        now_ms: the time; nothing but its owner advances it.
        ksmd_ns: CPU time of ksmd; likewise.
    """

    __slots__ = (
        *("_made", "advisor", "counters", "ksmd_ns", "memory", "migrate_nodes", "mm_head"),
        *("now_ms", "run", "scan", "stable_roots", "tunables", "unstable_roots", "variant"),
        *("stable_index", "unstable_index", "watcher"),
    )

    def __init__(self, variant: Variant, *, nodes: int = 1, watcher: Watcher | None = None) -> None:
        self.variant = variant
        self.watcher = Watcher() if watcher is None else watcher
        self.memory = Memory(variant, self.watcher)
        self.tunables = dict(DEFAULTS)
        # A version without smart scan behaves as if it were off.
        self.tunables.update(dict.fromkeys({"smart_scan"} & variant.absent_tunables, 0))
        self.counters = Counters()
        self.advisor = Advisor()
        self.run = RUN_STOP
        self.mm_head = MmSlot(None)
        self.scan = Cursor(self.mm_head)
        self.stable_roots = [RbRoot() for _ in range(nodes)]
        self.unstable_roots = [RbRoot() for _ in range(nodes)]
        self.stable_index: dict[bytes, StableNode] = {}
        self.unstable_index: UnstableIndex | None = None
        self.migrate_nodes: list[StableNode] = []
        self.now_ms = 0
        self.ksmd_ns = 0
        self._made = 0

    @property
    def fast(self) -> bool:
        """Whether pages are looked up by content; else the trees are walked."""
        return self.unstable_index is not None

    def be_fast(self) -> None:
        """Look pages up by content from now on, the beginning."""
        self.unstable_index = UnstableIndex()

    def new_key(self) -> int:
        """A number that stands for the address of a new struct, never given twice."""
        self._made += 1
        return _FIRST_KEY + self._made * _STRUCT_SIZE

    def nid_of(self, page: Frame) -> int:
        """The NUMA node whose trees `page` belongs to; 0 when merging across nodes (get_kpfn_nid, 3.9)."""
        return 0 if self.tunables["merge_across_nodes"] else page.nid

    def memcmp_pages(self, page: Frame, other: Frame) -> int:
        """-1, 0 or 1, as the bytes of `page` are less than, equal to or greater than those of `other`."""
        self.counters.comparisons += 1
        return compare_units(page.data.unit, other.data.unit)
