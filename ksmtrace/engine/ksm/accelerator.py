"""What the functions of mm/ksm.c ask of whatever does their work for many pages at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.rmap_item import RmapItem
    from ksmtrace.engine.ksm.stable_node import StableNode
    from ksmtrace.engine.ksm.stable_tree import Found
    from ksmtrace.engine.machine.memory import Frame
    from ksmtrace.engine.machine.rbtree import Leaf, RbRoot


class Accelerator(Protocol):
    """Decides as the functions that ask it would, and counts and shows what they would.

    It may keep the unstable tree of a pass in a form of its own, and put off what new stable nodes
    do to the shape of the stable tree.
    """

    def examine_many(self, npages: int) -> int:
        """Examine up to `npages` pages from the cursor on.

        Returns:
            How many candidates there were; 0 when the next page must be examined by itself.
        """
        ...

    def keeps_unstable_tree(self) -> bool:
        """Whether the unstable tree is kept here; else it is in `Ksm.unstable_roots`."""
        ...

    def search_insert(self, item: RmapItem, page: Frame) -> tuple[RmapItem, Frame] | None:
        """unstable_tree_search_insert, in a tree that is kept here."""
        ...

    def erase(self, item: RmapItem) -> None:
        """Take an item out of a tree that is kept here."""
        ...

    def drop(self) -> None:
        """A pass begins, with an empty unstable tree."""
        ...

    def unmergeable(self) -> None:
        """A mapping has become unmergeable, and pages of it may be in the unstable tree."""
        ...

    def search_stable(self, page: Frame, root: RbRoot, *, with_place: bool) -> Found | Leaf | None:
        """A search of a stable tree, if it passes nothing that it would change.

        Args:
            page: whose content is looked for.
            root: the tree.
            with_place: a `Leaf` must give the place of a new node.

        Returns:
            None when the tree must be walked node by node.
        """
        ...

    def complete_stable_tree(self) -> None:
        """Carry out what has been put off."""
        ...

    def stable_node_linked(self, node: StableNode) -> None:
        """A stable node, or the head of a chain, is in its tree now."""
        ...

    def stable_node_unlinked(self, node: StableNode) -> None:
        """It is no longer in its tree."""
        ...

    def stable_node_freed(self, node: StableNode) -> None:
        """It is no more."""
        ...
