"""All of ksmd's state in one place: the static variables of mm/ksm.c."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.columns import Columns
from ksmtrace.engine.bulk.content_index import ContentIndex
from ksmtrace.engine.bulk.tree_search import compare_units, insert_in_order
from ksmtrace.engine.ksm.advisor import Advisor
from ksmtrace.engine.ksm.counters import Counters
from ksmtrace.engine.ksm.mm_slot import MmSlot
from ksmtrace.engine.ksm.scan import Cursor
from ksmtrace.engine.ksm.stable_node import StableNode
from ksmtrace.engine.ksm.tunables import DEFAULTS, RUN_STOP
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.memory import Frame, Memory
from ksmtrace.engine.machine.rbtree import RbRoot

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
        unstable_roots: the unstable trees, by NUMA node as `stable_roots`.
        index: what stands for the trees; None in the plain mode.
        chains: stable nodes that are chains.
        migrate_nodes: stable nodes whose page has come to another NUMA node, latest first.
        now_ms: the time; nothing but its owner advances it.
        ksmd_ns: CPU time of ksmd; likewise.
    """

    __slots__ = (
        *(
            "_made",
            "advisor",
            "chains",
            "counters",
            "ksmd_ns",
            "memory",
            "migrate_nodes",
            "mm_head",
        ),
        *("now_ms", "run", "scan", "tunables", "unstable_roots", "variant"),
        *("_stable_roots", "_to_insert", "index", "watcher"),
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
        self.scan = self.memory.scan = Cursor(self.mm_head)
        self._stable_roots = [RbRoot() for _ in range(nodes)]
        self._to_insert: list[StableNode] = []
        self.unstable_roots = [RbRoot() for _ in range(nodes)]
        self.index: ContentIndex | None = None
        self.chains: set[StableNode] = set()
        self.migrate_nodes: list[StableNode] = []
        self.now_ms = 0
        self.ksmd_ns = 0
        self._made = 0

    @property
    def counts_comparisons(self) -> bool:
        """Whether `counters.comparisons` are the kernel's."""
        return self.index is None or self.index.counting

    def accelerate(self, *, count_comparisons: bool) -> None:
        """Look pages up by content from now on, the beginning; comparisons may be counted all the same."""
        memory = self.memory
        memory.pool.number_contents()
        memory.columns = Columns(memory)
        self.index = ContentIndex(memory.columns, memory.pool, counting=count_comparisons)

    def new_key(self) -> int:
        """A number that stands for the address of a new struct, never given twice."""
        self._made += 1
        return _FIRST_KEY + self._made * _STRUCT_SIZE

    def new_keys(self, count: int) -> npt.NDArray[np.uint64]:
        """The next `count` of these numbers."""
        first = self._made + 1
        self._made += count
        steps = np.arange(first, first + count, dtype=np.uint64)
        return np.uint64(_FIRST_KEY) + steps * np.uint64(_STRUCT_SIZE)

    @property
    def stable_roots(self) -> list[RbRoot]:
        """The stable trees, by NUMA node; all pages are in the first when merging across nodes."""
        if self._to_insert:
            for node in self._to_insert:
                insert_in_order(self._stable_roots[0], node, words=self.memory.pool.only_words)
            self._to_insert.clear()
        return self._stable_roots

    def insert_later(self, nodes: list[StableNode]) -> None:
        """They join the first stable tree, in which nothing is equal to them, when that is looked at next."""
        self._to_insert += nodes

    def nid_of(self, page: Frame) -> int:
        """The NUMA node whose trees `page` belongs to; 0 when merging across nodes (get_kpfn_nid, 3.9)."""
        return 0 if self.tunables["merge_across_nodes"] else page.nid

    def memcmp_pages(self, page: Frame, other: Frame) -> int:
        """-1, 0 or 1, as the bytes of `page` are less than, equal to or greater than those of `other`."""
        self.counters.comparisons += 1
        return compare_units(page.data.unit, other.data.unit)
