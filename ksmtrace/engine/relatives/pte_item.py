"""Page table entries as items of records, for relatives of KSM that have no rmap_items."""

from __future__ import annotations

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.watcher import Node
from ksmtrace.engine.machine.memory import Mm


class Entry:
    """A `Tracked`: page number `vpn` of `mm`, in no tree.

    Attributes:
        key: of what stands for the entry; 0 when nothing does.
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
