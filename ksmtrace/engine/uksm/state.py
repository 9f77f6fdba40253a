"""All of uksmd's state in one place: the static variables of mm/uksm.c."""

from __future__ import annotations

import random

from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.memory import Memory, ZeroPage
from ksmtrace.engine.uksm.nodes import StableNode, StableTreeNode, UnstableTreeNode
from ksmtrace.engine.uksm.page_hash import PageHash
from ksmtrace.engine.uksm.rung import Rung
from ksmtrace.engine.uksm.slot import Slot
from ksmtrace.engine.uksm.strength import HashStrength

SCAN_LADDER_SIZE = 4

_ZERO_PFN = 2
_FIRST_KEY = 0xFFFF888100000000
_STRUCT_SIZE = 80


class Uksm:
    """One machine's UKSM.

    An anonymous page's `stable_node` holds the process in which it was made, in place of its
    anon_vma; a KSM page's holds its stable node. So does the kernel keep both in page->mapping.

    Args:
        variant: which memory management it works on.
        watcher: sees everything that happens.

    Attributes:
        hashes: hashes of pages.
        strength: the search for the hash strength.
        chance: all that UKSM draws by lot comes from here.
        zero_page: a frame of zeroes that is UKSM's own (empty_uksm_zero_page).
        rungs: the ladder, slowest first.
        new_slots: those that wait to enter a rung (vma_slot_new).
        dead_slots: those that wait to be destroyed (vma_slot_del).
        noted_slots: others have merged with their pages in this round, latest last
            (vma_slot_dedup).
        stable_tree: by hash; likewise unstable_tree.
        stable_nodes: all, oldest first (stable_node_list).
        hash_round: how often the unstable tree has been emptied (uksm_hash_round).
        eval_round: rounds completed (uksm_eval_round).
        full_scans: the file's value (fully_scanned_round).
        scanned_virtual_pages: positions visited since the last full scan.
        pages_total: pages of all slots that have been visited (uksm_pages_total).
        pages_scanned: pages hashed.
        comparisons: contents compared, of hashes none.
        items: rmap_items alive; likewise `slots`, `node_vmas`.
        seed: of what is drawn by lot.
        governor: the one written last.
        page_time: nanoseconds a page takes. Here it is given, UKSM measures it (ema_per_page_time).
        memcmp_cost: what comparing two pages costs, in words hashed. UKSM measures it at boot.
        max_cpu_percentage, abundant_threshold, thrash_threshold: the files.
        sleep_saved: sleep_millisecs as it was written, `sleep_jiffies` as it is; HZ is 1000.
    """

    def __init__(self, variant: Variant, watcher: Watcher, *, seed: int) -> None:
        self.watcher = watcher
        self.seed = seed
        self.governor = ""
        self.chance = random.Random(seed)  # noqa: S311
        self.hashes = PageHash(self.chance)
        self.strength = HashStrength()
        self.memory = Memory(variant, self.hashes.pool, watcher)
        self.zero_page = ZeroPage(_ZERO_PFN, self.hashes.pool.zero, 0)
        self.rungs = [Rung(number, self.chance) for number in range(SCAN_LADDER_SIZE)]
        self.new_slots: list[Slot] = []
        self.dead_slots: list[Slot] = []
        self.noted_slots: dict[Slot, None] = {}
        self.stable_tree: dict[int, StableTreeNode] = {}
        self.unstable_tree: dict[int, UnstableTreeNode] = {}
        self.stable_nodes: dict[StableNode, None] = {}
        self.hash_round = 0
        self.eval_round = 0
        self.full_scans = 1
        self.scanned_virtual_pages = 0
        self.pages_total = 0
        self.pages_shared = 0
        self.pages_sharing = 0
        self.pages_unshared = 0
        self.pages_scanned = 0
        self.comparisons = 0
        self.items = 0
        self.slots = 0
        self.node_vmas = 0
        self.page_time = 500
        self.memcmp_cost = 174
        self.max_cpu_percentage = 0
        self.abundant_threshold = 10
        self.thrash_threshold = 50
        self.sleep_saved = 100
        self.sleep_jiffies = 100
        self._made = 0

    def draw(self, seed: int) -> None:
        """Begin with other lots; no page has been hashed yet."""
        self.seed = seed
        self.chance.seed(seed)
        self.hashes.draw(self.chance)

    def new_key(self) -> int:
        """In place of the address of a struct just made."""
        self._made += 1
        return _FIRST_KEY + self._made * _STRUCT_SIZE
