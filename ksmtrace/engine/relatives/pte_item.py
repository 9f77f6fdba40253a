"""A page table entry in the place of an rmap_item, for relatives that have none per address."""

from __future__ import annotations

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.watcher import Node
from ksmtrace.engine.machine.memory import Mm


class PteItem:
    """A `Tracked`: page number `vpn` of `mm`, in no tree.

    Attributes:
        key: of what is kept of the entry; 0 when nothing is.
    """

    __slots__ = ("key", "mm", "vpn")

    def __init__(self, mm: Mm, vpn: int, key: int = 0) -> None:
        self.key = key
        self.mm = mm
        self.vpn = vpn

    @property
    def oldchecksum(self) -> int:
        """None is kept."""
        return 0

    @property
    def tree(self) -> Tree:
        """In neither."""
        return Tree.NEITHER

    @property
    def head(self) -> Node | None:
        """No stable node."""
        return None
