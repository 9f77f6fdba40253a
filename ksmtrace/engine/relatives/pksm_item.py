"""PKSM's rmap_items, one for each physical page, and the trees that they are in."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from enum import Flag, IntEnum, auto

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.machine.anon_vma import AnonVma
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot, rb_erase, rb_insert_color, rb_link_node

PKSM_RMAP_ITEM_SIZE = 120
"""Bytes of a struct rmap_item of mm/pksm.c on 64-bit machines."""

STABLE_NODE_ANON_SIZE = 24
"""Bytes of a struct stable_node_anon on 64-bit machines."""

_SAMPLES = 64
_M32 = 0xFFFFFFFF
_WORDS = struct.Struct(f"<{PAGE_SIZE // 4}I")


class PksmFlag(Flag):
    """Bits in the address field of an rmap_item."""

    NEWLIST = auto()
    RESCAN_LIST = auto()
    DELLIST = auto()
    UNSTABLE = auto()
    STABLE = auto()
    INITCHECKSUM = auto()


class Result(IntEnum):
    """What cmp_and_merge_page and all below it return (PKSM_FAULT_*)."""

    SUCCESS = 0
    DROP = 1
    TRY = 2


class PksmItem(RbNode):
    """struct rmap_item of mm/pksm.c; once in the stable tree it is what KSM calls a stable node.

    Attributes:
        key: in place of the address of the struct.
        mm: the process that was given the page.
        vpn: the number of the page there (page->index).
        page: None once the page has been freed.
        kpfn: its frame number.
        anon_vma: that of the page, as long as it is no KSM page (page->mapping).
        oldchecksum: the sampled hash, by which both trees are ordered.
        mapcount: entries that were replaced by the page, as PKSM counts them (_mapcount).
        anon_nodes: how many stable_node_anon hang off it.
        node: the item of the KSM page that all entries of this page map instead.
    """

    __slots__ = (
        *("anon_nodes", "anon_vma", "flags", "key", "kpfn", "mapcount", "mm", "node"),
        *("oldchecksum", "page", "vpn"),
    )

    def __init__(self, key: int, page: Frame, mm: Mm, vpn: int, anon_vma: AnonVma) -> None:
        super().__init__()
        self.key = key
        self.mm = mm
        self.vpn = vpn
        self.page: Frame | None = page
        self.kpfn = page.pfn
        self.anon_vma = anon_vma
        self.flags = PksmFlag.NEWLIST | PksmFlag.INITCHECKSUM
        self.oldchecksum = 0
        self.mapcount = 0
        self.anon_nodes = 0
        self.node: PksmItem | None = None

    @property
    def tree(self) -> Tree:
        """The tree that it is in, or its node is."""
        if self.head is not None:
            return Tree.STABLE
        return Tree.UNSTABLE if PksmFlag.UNSTABLE in self.flags else Tree.NEITHER

    @property
    def head(self) -> PksmItem | None:
        """In the stable tree it is its own node; what was merged into one has that."""
        node = self if self.node is None else self.node
        return node if PksmFlag.STABLE in node.flags else None

    @property
    def is_new(self) -> bool:
        """Whether it is not in the stable tree yet."""
        return PksmFlag.STABLE not in self.flags


class PksmTree:
    """A red-black tree of rmap_items by their hash; of equal hashes there is one.

    Attributes:
        comparisons: hashes compared (hash_cmp).
    """

    def __init__(self, drop: Callable[[PksmItem], None]) -> None:
        self._root = RbRoot()
        self._drop = drop
        self.comparisons = 0

    def search(self, checksum: int) -> PksmItem | None:
        """The item with this hash; items whose page is gone leave the tree on the way."""
        found, _, _ = self._walk(checksum)
        return found

    def search_insert(self, item: PksmItem) -> PksmItem | None:
        """The item with the hash of `item`; without one `item` is put in, in the same walk."""
        found, parent, left = self._walk(item.oldchecksum)
        if found is None:
            rb_link_node(self._root, item, parent, left=left)
            rb_insert_color(self._root, item)
        return found

    def erase(self, item: PksmItem) -> None:
        """Take `item` out."""
        rb_erase(self._root, item)

    def _walk(self, checksum: int) -> tuple[PksmItem | None, RbNode | None, bool]:
        current, parent, left = self._root.rb_node, None, False
        while current is not None:
            assert isinstance(current, PksmItem), "PKSM's trees hold rmap_items"
            if current.page is None:
                self._drop(current)
                current, parent, left = self._root.rb_node, None, False
                continue
            self.comparisons += 1
            if checksum == current.oldchecksum:
                return current, None, False
            parent, left = current, checksum < current.oldchecksum
            current = parent.rb_left if left else parent.rb_right
        return None, parent, left


def sampled_hash(seed: int) -> Callable[[bytes], int]:
    """PKSM's hash of a page: 64 of its words, chosen at random once a boot (pksm_calc_checksum).

    They are taken in the order in which they were drawn (init_random_sampling).

    Args:
        seed: one for each boot.
    """
    offsets = random.Random(seed).sample(range(PAGE_SIZE // 4), _SAMPLES)  # noqa: S311

    def calc_checksum(page: bytes) -> int:
        words = _WORDS.unpack(page)
        value = 0xDEADBEEF
        for offset in offsets:
            value = (value + words[offset]) & _M32
            value = (value + (value << 8)) & _M32
            value ^= value >> 12
        return value

    return calc_checksum
