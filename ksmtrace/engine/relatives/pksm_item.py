"""PKSM's rmap_items, one for each physical page, and the lists and trees that they are in."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from enum import Enum, Flag, auto

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.engine.machine.rbtree import RbNode, RbRoot, rb_erase, rb_insert_color, rb_link_node
from ksmtrace.engine.relatives.pte_item import PteItem

_SAMPLES = 64
_M32 = 0xFFFFFFFF
_WORDS = struct.Struct(f"<{PAGE_SIZE // 4}I")


class PksmFlag(Flag):
    """Bits in the address field of an rmap_item."""

    NEWLIST = auto()
    DELLIST = auto()
    UNSTABLE = auto()
    STABLE = auto()
    INITCHECKSUM = auto()


class Result(Enum):
    """What cmp_and_merge_page returns for an item."""

    SUCCESS = 0
    DROP = 1
    TRY = 2


class PksmItem(RbNode):
    """struct rmap_item of mm/pksm.c; once in the stable tree it is what KSM calls a stable node.

    Attributes:
        key: in place of the address of the struct.
        mm: the process that was given the page.
        vpn: the number of the page there.
        page: None once the page has been freed.
        kpfn: its frame number.
        oldchecksum: the sampled hash, by which both trees are ordered.
        sharers: by process and page number, the entries that were replaced by the page and still
            map it, oldest first.
    """

    __slots__ = ("flags", "key", "kpfn", "mm", "oldchecksum", "page", "sharers", "vpn")

    def __init__(self, key: int, page: Frame, mm: Mm, vpn: int) -> None:
        super().__init__()
        self.key = key
        self.mm = mm
        self.vpn = vpn
        self.page: Frame | None = page
        self.kpfn = page.pfn
        self.flags = PksmFlag.NEWLIST | PksmFlag.INITCHECKSUM
        self.oldchecksum = 0
        self.sharers: dict[tuple[Mm, int], PksmSharer] = {}

    @property
    def tree(self) -> Tree:
        """The tree that it is in."""
        if PksmFlag.STABLE in self.flags:
            return Tree.STABLE
        return Tree.UNSTABLE if PksmFlag.UNSTABLE in self.flags else Tree.NEITHER

    @property
    def head(self) -> PksmItem | None:
        """In the stable tree it is its own node."""
        return self if PksmFlag.STABLE in self.flags else None

    @property
    def is_new(self) -> bool:
        """Whether it is not in the stable tree yet."""
        return PksmFlag.STABLE not in self.flags


class PksmSharer(PteItem):
    """struct stable_node_anon: an entry that has been replaced by the page of `head`."""

    __slots__ = ("_node",)

    def __init__(self, mm: Mm, vpn: int, key: int, node: PksmItem) -> None:
        super().__init__(mm, vpn, key)
        self._node = node

    @property
    def tree(self) -> Tree:
        """In the stable tree."""
        return Tree.STABLE

    @property
    def head(self) -> PksmItem:
        """The item of the page."""
        return self._node


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

    def insert(self, item: PksmItem) -> bool:
        """Put `item` in, unless its hash is there."""
        found, parent, left = self._walk(item.oldchecksum)
        if found is not None:
            return False
        rb_link_node(self._root, item, parent, left=left)
        rb_insert_color(self._root, item)
        return True

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

    Args:
        seed: one for each boot.
    """
    offsets = sorted(random.Random(seed).sample(range(PAGE_SIZE // 4), _SAMPLES))  # noqa: S311

    def calc_checksum(page: bytes) -> int:
        words = _WORDS.unpack(page)
        value = 0xDEADBEEF
        for offset in offsets:
            value = (value + words[offset]) & _M32
            value = (value + (value << 8)) & _M32
            value ^= value >> 12
        return value

    return calc_checksum
