"""The nodes of both trees: one for each hash, and in it what has that hash."""

from __future__ import annotations

from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.uksm.slot import Slot, UksmItem

TREE_NODE_SIZE = 64
STABLE_NODE_SIZE = 72
NODE_VMA_SIZE = 40
"""Bytes of the structs on 64-bit machines."""


class UnstableTreeNode:
    """What waits under one hash (struct tree_node): a subtree by hash_max.

    Its count is left out: plain insertion does not raise it, so that it is 0 and below, and the way
    that UKSM takes where it is 1 is never taken.
    """

    __slots__ = ("_first", "_others", "hash")

    def __init__(self, value: int) -> None:
        self.hash = value
        self._first: UksmItem | None = None
        self._others: dict[int, UksmItem] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._first is None and not self._others

    def find(self, hash_max: int) -> UksmItem | None:
        """The item with this hash_max."""
        return self._others.get(hash_max) if self._others else None

    def insert(self, item: UksmItem) -> None:
        """Take it in; one that came without hash_max is found by no search."""
        if not item.hash_max:
            self._first = item
        elif self._others is None:
            self._others = {item.hash_max: item}
        else:
            self._others[item.hash_max] = item

    def erase(self, item: UksmItem) -> None:
        """Take it out."""
        if self._first is item:
            self._first = None
        else:
            assert self._others is not None, "it was inserted"
            del self._others[item.hash_max]


class StableTreeNode:
    """The KSM pages of one hash (struct tree_node); several differ in hash_max."""

    __slots__ = ("hash", "nodes")

    def __init__(self, value: int) -> None:
        self.hash = value
        self.nodes: list[StableNode] = []

    def find(self, hash_max: int) -> StableNode | None:
        """The node with this hash_max."""
        return next((node for node in self.nodes if node.hash_max == hash_max), None)


class StableNode:
    """A KSM page (struct stable_node).

    Attributes:
        key: in place of the address of the struct.
        hash_max: of its content at the highest strength; 0 unless another had its hash.
        tree_node: None when it is left out for two collisions, until the tree is built anew.
        vmas: its sharers by slot; not sorted, see `stable_tree_append`.
    """

    __slots__ = ("hash_max", "key", "page", "tree_node", "vmas")

    def __init__(self, key: int, page: Frame, hash_max: int, tree_node: StableTreeNode) -> None:
        self.key = key
        self.page = page
        self.hash_max = hash_max
        self.tree_node: StableTreeNode | None = tree_node
        self.vmas: list[NodeVma] = []

    @property
    def kpfn(self) -> int:
        """Frame number of its page."""
        return self.page.pfn

    @property
    def is_new(self) -> bool:
        """Whether nobody shares its page."""
        return not self.vmas


class NodeVma:
    """The sharers of one KSM page in one slot (struct node_vma)."""

    __slots__ = ("head", "items", "slot")

    def __init__(self, head: StableNode, slot: Slot) -> None:
        self.head = head
        self.slot = slot
        self.items: set[UksmItem] = set()
