"""The list of processes that ksmd scans: a circular list with a head that is no process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.memory import Mm

if TYPE_CHECKING:
    from ksmtrace.engine.rmap_item import RmapItem


class MmSlot:
    """A process registered with ksmd (struct mm_slot; ksm_mm_slot from 6.1), or the head of the list.

    Attributes:
        mm: None for the head.
        rmap_list: first of its rmap_items, which go on by address.
    """

    __slots__ = ("mm", "next", "prev", "rmap_list")

    def __init__(self, mm: Mm | None) -> None:
        self.mm = mm
        self.rmap_list: RmapItem | None = None
        self.next = self
        self.prev = self

    def insert_before(self, place: MmSlot) -> None:
        """Join the list in front of `place` (list_add_tail)."""
        self.prev, self.next = place.prev, place
        place.prev.next = self
        place.prev = self

    def remove(self) -> None:
        """Leave the list (list_del)."""
        self.prev.next = self.next
        self.next.prev = self.prev
        self.prev = self.next = self
