"""PKSM's rmap_items, one for each physical page, and the lists and trees that they are in."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from enum import Flag, auto

from ksmtrace.engine.checksum import PAGE_SIZE
from ksmtrace.engine.memory import Frame
from ksmtrace.engine.rbtree import RbNode, RbRoot, rb_erase, rb_insert_color, rb_link_node

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


class PksmItem(RbNode):
    """struct rmap_item of mm/pksm.c.

    Attributes:
        page: None once the page has been freed.
        checksum: the sampled hash, by which both trees are ordered.
        sharing: entries that were replaced by the page, and still map it.
        sharers: how many pages were appended, the page itself first.
    """

    __slots__ = ("checksum", "flags", "page", "sharers", "sharing")

    def __init__(self, page: Frame) -> None:
        super().__init__()
        self.page: Frame | None = page
        self.flags = PksmFlag.NEWLIST | PksmFlag.INITCHECKSUM
        self.checksum = 0
        self.sharing = 0
        self.sharers = 0


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
        found, parent, left = self._walk(item.checksum)
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
            if checksum == current.checksum:
                return current, None, False
            parent, left = current, checksum < current.checksum
            current = parent.rb_left if left else parent.rb_right
        return None, parent, left


def sampled_hash(seed: int) -> Callable[[bytes], int]:
    """PKSM's hash of a page: 64 of its words, chosen at random once a boot (pksm_calc_checksum).

    Args:
        seed: stands for the boot.
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
