"""rmap_items: what ksmd remembers of one page of one process."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from ksmtrace.engine.machine.rbtree import RbNode

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.stable_node import StableNode
    from ksmtrace.engine.machine.memory import Mm


class Tree(IntEnum):
    """Where an rmap_item is: the flags in the low bits of its address."""

    NEITHER = 0
    UNSTABLE = 1
    STABLE = 2


class RmapItem(RbNode):
    """One tracked page (struct rmap_item; ksm_rmap_item from 6.1).

    While it waits for a partner it is a node of the unstable tree.

    Attributes:
        key: in place of the address of the struct.
        seqnr: low byte of the pass in which it entered the unstable tree.
        nid: which unstable tree that was.
        head: its stable node, while in the stable tree.
        age: passes that smart scan has seen it in, at most 255.
        remaining_skips: how often smart scan still passes over it.
    """

    __slots__ = (
        *("age", "head", "key", "mm", "nid", "oldchecksum", "remaining_skips", "seqnr"),
        *("tree", "vpn"),
    )

    def __init__(self, key: int, mm: Mm, vpn: int) -> None:
        super().__init__()
        self.key = key
        self.mm = mm
        self.vpn = vpn
        self.oldchecksum = 0
        self.tree = Tree.NEITHER
        self.head: StableNode | None = None
        self.seqnr = 0
        self.nid = 0
        self.age = 0
        self.remaining_skips = 0
