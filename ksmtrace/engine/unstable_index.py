"""The unstable tree of the fast mode: rmap_items by content, from which the tree itself can be made when its shape matters.

As long as no page in the tree changes, a search finds what is equal, or nothing: where in the tree does not matter. Once one has
changed, a search may go astray at it. The tree is then made from the log of what has joined and left it, and the rest of the pass
walks it as the exact mode does. So both modes decide alike at all times.
"""

from __future__ import annotations

from ksmtrace.engine.ordered import find_in_order
from ksmtrace.engine.rbtree import RbRoot, rb_erase, rb_insert_color, rb_link_node
from ksmtrace.engine.rmap_item import RmapItem


class UnstableIndex:
    """What has joined the unstable tree in this pass.

    Attributes:
        items: those in the tree, by `PageData.unit`.
        log: every item that has joined, and again when it has left.
        built: the tree has been made, and has taken over.
    """

    __slots__ = ("built", "items", "log")

    def __init__(self) -> None:
        self.items: dict[bytes, RmapItem] = {}
        self.log: list[RmapItem] = []
        self.built = False

    def find(self, key: bytes) -> RmapItem | None:
        """The item with this content."""
        return self.items.get(key)

    def insert(self, item: RmapItem) -> None:
        """`item` joins."""
        self.items[item.rb_key] = item
        self.log.append(item)

    def erase(self, item: RmapItem) -> bool:
        """`item` leaves; False when it has to leave the tree itself."""
        if self.built:
            return False
        del self.items[item.rb_key]
        self.log.append(item)
        return True

    def build(self, root: RbRoot, *, words: bool) -> None:
        """Make the tree, if that has not been done: the same steps give the same shape. `words` as in `find_in_order`."""
        if self.built:
            return
        self.built = True
        joined: set[RmapItem] = set()
        for item in self.log:
            if item in joined:
                joined.remove(item)
                rb_erase(root, item)
                continue
            joined.add(item)
            spot = find_in_order(root, item.rb_key, words=words)
            rb_link_node(root, item, spot.parent, left=spot.left)
            rb_insert_color(root, item)
        self.items.clear()
        self.log.clear()
