"""Where a content is, by its number, in the unstable and in the stable tree.

As long as no page in the unstable tree changes, a search finds what is equal, or nothing: its place
in the tree matters only for the number of comparisons, which the tree's shadow gives. Once a page
has changed, a search may go astray at it. The tree is then made, of the log of what has joined and
left it, and walked for the rest of the pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ksmtrace.engine.bulk.columns import Columns
from ksmtrace.engine.bulk.hazards import Hazards
from ksmtrace.engine.bulk.unstable_log import UnstableLog
from ksmtrace.engine.ksm.rmap_item import RmapItem
from ksmtrace.engine.machine.page_table import BLOCK_MASK, BLOCK_SHIFT
from ksmtrace.engine.machine.rbtree import RbRoot, rb_replace_node

if TYPE_CHECKING:
    from ksmtrace.engine.bulk.depths import Depths
    from ksmtrace.engine.bulk.stored_node import StoredNode
    from ksmtrace.engine.machine.content import PagePool


class ContentIndex:
    """Both trees, by `PageData.number`.

    Args:
        columns: pages of which there are no objects.
        pool: their contents.
        counting: comparisons are counted.

    Attributes:
        stable: the number of the stable node in the tree with this content and a page of its own;
            -1 without one. Valid with one tree only.
        unstable: the slot of the rmap_item that is in the unstable tree of this pass; -1 without
            one.
        counting: `counting`.
        log: what has joined the unstable tree, and so its shape.
        depths: what searches of the stable tree compare, where that is counted and has been found
            out.
        hazards: nodes of the stable tree that a search would change.
        unplaced: new stable nodes that have no place in the first stable tree yet, which is missing
            nothing else.
        disturbed: a page in the unstable tree has been written to, unmapped or put out of ksmd's
            reach since the pass began; unless that happened, the tree is in order.
        scratch: as long as the first two, for whoever needs it for a moment.
        built: the tree has been made, and has taken over from `unstable` and `log`.
    """

    __slots__ = (
        "built",
        "columns",
        "counting",
        "depths",
        "disturbed",
        "hazards",
        "log",
        "pool",
        "scratch",
        "stable",
        "unplaced",
        "unstable",
    )

    def __init__(self, columns: Columns, pool: PagePool, *, counting: bool) -> None:
        self.columns = columns
        self.pool = pool
        self.stable = np.zeros(0, np.int32)
        self.unstable = np.zeros(0, np.int32)
        self.scratch = np.zeros(0, np.int32)
        self.counting = counting
        self.log = UnstableLog(pool, counting=counting)
        self.depths: Depths | None = None
        self.hazards = Hazards()
        self.unplaced: list[StoredNode] = []
        self.disturbed = False
        self.built = False

    def make_room(self) -> None:
        """Let both arrays know all contents that there are."""
        new = len(self.pool.contents) - len(self.stable)
        if new > 0:
            more = np.full(new + len(self.stable) // 2, -1, np.int32)
            self.stable = np.append(self.stable, more)
            self.unstable = np.append(self.unstable, more)
            self.scratch = np.empty(len(self.stable), np.int32)

    def find_stable(self, number: int) -> StoredNode | None:
        """The stable node with this content."""
        self.make_room()
        node = self.stable.item(number)
        return None if node < 0 else self.columns.nodes.by_number[node]

    def add_stable(self, node: StoredNode) -> None:
        """A node with a page is in the tree now."""
        self.make_room()
        assert node.kpage is not None, "a chain is not in the index"
        self.stable[node.kpage.data.number] = self.columns.nodes.number_of(node)

    def remove_stable(self, node: StoredNode) -> None:
        """It has left the tree, or has become a dup; nothing happens if it was not in the index."""
        if node.number >= 0 and node.kpage is not None:
            number = node.kpage.data.number
            if self.stable.item(number) == node.number:
                self.stable[number] = -1

    def find(self, number: int) -> RmapItem | None:
        """The unstable rmap_item with this content."""
        self.make_room()
        slot = self.unstable.item(number)
        return None if slot < 0 else self.columns.item(slot)

    def insert(self, item: RmapItem, number: int) -> int:
        """Put `item` in the unstable tree; the comparisons made, 0 where they are not counted."""
        block = item.mm.ptes.blocks[item.vpn >> BLOCK_SHIFT]
        self.unstable[number] = block.number << BLOCK_SHIFT | item.vpn & BLOCK_MASK
        return self.log.join_or_leave(number)

    def erase(self, item: RmapItem) -> None:
        """`item` leaves it; the tree must be in order, and not built."""
        number = self.pool.number_of(item.rb_key)
        self.unstable[number] = -1
        self.log.join_or_leave(number)

    def drop(self) -> None:
        """A pass begins, with an empty unstable tree."""
        self.unstable.fill(-1)
        self.built = self.disturbed = False
        columns = self.columns
        columns.one_by_one = None
        used = columns.content[: len(columns.blocks) << BLOCK_SHIFT]
        self.pool.sweep(used)
        self.log.drop()

    def build(self, root: RbRoot) -> None:
        """Make the unstable tree, if that has not been done."""
        if self.built:
            return
        self.built = True
        tree = self.log.tree()
        root.rb_node = tree.root.rb_node
        for number, node in tree.members():
            item = self.columns.item(self.unstable.item(number))
            item.rb_key = node.rb_key
            rb_replace_node(root, node, item)
