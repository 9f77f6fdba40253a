"""The list of processes that ksmd scans: a circular list with a head that is no process."""

from __future__ import annotations

from ksmtrace.engine.machine.memory import Mm


class MmSlot:
    """A process registered with ksmd (struct mm_slot; ksm_mm_slot from 6.1), or the head of the list.

    Its rmap_items, which the kernel has as a list by address, stand beside its page table.

    Attributes:
        mm: None for the head.
    """

    __slots__ = ("mm", "next", "prev")

    def __init__(self, mm: Mm | None) -> None:
        self.mm = mm
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
