"""What stands for both trees in the fast mode: where a content is, by its number, and from what the trees themselves can be made.

As long as no page in the unstable tree changes, a search finds what is equal, or nothing: where in the tree does not matter. Once one has
changed, a search may go astray at it. The tree is then made from the log of what has joined and left it, and the rest of the pass
walks it as the exact mode does. So both modes decide alike at all times.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.columns import Columns
from ksmtrace.engine.ordered import find_in_order
from ksmtrace.engine.page_table import BLOCK_MASK, BLOCK_SHIFT
from ksmtrace.engine.rbtree import (
    RbNode,
    RbRoot,
    rb_erase,
    rb_insert_color,
    rb_link_node,
    rb_replace_node,
)
from ksmtrace.engine.rmap_item import RmapItem

if TYPE_CHECKING:
    from ksmtrace.engine.content import PagePool
    from ksmtrace.engine.stable_node import StableNode

Numbers = npt.NDArray[np.int32]


class ContentIndex:
    """Both trees, by `PageData.number`.

    Attributes:
        columns: pages of which there are no objects.
        stable: the number of the stable node that stands in the tree with a page of its own; -1 without one. Valid with one tree only.
        unstable: the slot of the rmap_item that is in the unstable tree of this pass; -1 without one.
        log: contents that have joined the unstable tree, and left it when they come again; one by one, or many in an array.
        scratch: as long as these two, for whoever needs it for a moment.
        built: the tree has been made, and has taken over from `unstable` and `log`.
    """

    __slots__ = ("built", "columns", "log", "pool", "scratch", "stable", "unstable")

    def __init__(self, columns: Columns, pool: PagePool) -> None:
        self.columns = columns
        self.pool = pool
        self.stable = np.zeros(0, np.int32)
        self.unstable = np.zeros(0, np.int32)
        self.scratch = np.zeros(0, np.int32)
        self.log: list[int | Numbers] = []
        self.built = False

    def make_room(self) -> None:
        """Let both arrays know all contents that there are."""
        new = len(self.pool.contents) - len(self.stable)
        if new > 0:
            more = np.full(new + len(self.stable) // 2, -1, np.int32)
            self.stable = np.append(self.stable, more)
            self.unstable = np.append(self.unstable, more)
            self.scratch = np.empty(len(self.stable), np.int32)

    def find_stable(self, number: int) -> StableNode | None:
        """The stable node with this content."""
        self.make_room()
        node = self.stable.item(number)
        return None if node < 0 else self.columns.nodes[node]

    def add_stable(self, node: StableNode) -> None:
        """A node with a page stands in the tree now."""
        self.make_room()
        assert node.kpage is not None, "a chain is not in the index"
        self.stable[node.kpage.data.number] = self.columns.number_of(node)

    def remove_stable(self, node: StableNode) -> None:
        """It has left the tree, or has become a dup; a node that never was in the index is no matter."""
        if node.number >= 0 and node.kpage is not None:
            number = node.kpage.data.number
            if self.stable.item(number) == node.number:
                self.stable[number] = -1

    def find(self, number: int) -> RmapItem | None:
        """The unstable rmap_item with this content."""
        self.make_room()
        slot = self.unstable.item(number)
        return None if slot < 0 else self.columns.item(slot)

    def insert(self, item: RmapItem, number: int) -> None:
        """`item` joins the unstable tree."""
        block = item.mm.ptes.blocks[item.vpn >> BLOCK_SHIFT]
        self.unstable[number] = block.number << BLOCK_SHIFT | item.vpn & BLOCK_MASK
        self.log.append(number)

    def erase(self, item: RmapItem) -> None:
        """`item` leaves it; the tree must be in order, and not built."""
        number = self.pool.number_of(item.rb_key)
        self.unstable[number] = -1
        self.log.append(number)

    def drop(self) -> None:
        """A pass begins, with an empty unstable tree."""
        self.unstable.fill(-1)
        self.log.clear()
        self.built = False
        columns = self.columns
        columns.in_pass = True
        used = columns.content[: len(columns.blocks) << BLOCK_SHIFT]
        self.pool.sweep(used)

    def build(self, root: RbRoot, *, words: bool) -> None:
        """Make the unstable tree, if that has not been done: the same steps give the same shape.

        `words` as in `find_in_order`.
        """
        if self.built:
            return
        self.built = True
        contents = self.pool.contents
        nodes: dict[int, RbNode] = {}
        for number in self._joined_and_left():
            node = nodes.pop(number, None)
            if node is not None:
                rb_erase(root, node)
                continue
            node = nodes[number] = RbNode()
            node.rb_key = contents[number].unit
            spot = find_in_order(root, node.rb_key, words=words)
            rb_link_node(root, node, spot.parent, left=spot.left)
            rb_insert_color(root, node)
        for number, node in nodes.items():
            item = self.columns.item(self.unstable.item(number))
            item.rb_key = node.rb_key
            rb_replace_node(root, node, item)
        self.log.clear()

    def _joined_and_left(self) -> Iterator[int]:
        for entry in self.log:
            if isinstance(entry, int):
                yield entry
            else:
                yield from entry.tolist()
