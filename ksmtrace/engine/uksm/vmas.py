"""How slots come and go: with every VMA, and with every change of one."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from ksmtrace.engine.machine.faults import do_wp_page
from ksmtrace.engine.machine.memory import Mm, Vma
from ksmtrace.engine.machine.vmas import split_vmas
from ksmtrace.engine.uksm.slot import Slot
from ksmtrace.engine.uksm.state import Uksm
from ksmtrace.engine.uksm.unstable_tree import remove_rmap_item_from_tree

_AT_ONCE = 32
"""SPIN_LOCK_PERIOD: so many dead slots are taken from the list, and destroyed last first."""

_M64 = 2**64


@dataclass(slots=True)
class SlottedVma:
    """A VMA with its slot.

    Attributes:
        vma: `mergeable` is VM_MERGEABLE.
        slot: None after MADV_UNMERGEABLE.
        has_anon_vma: some page has been written to.
    """

    vma: Vma
    slot: Slot | None
    has_anon_vma: bool = False

    def prepare_anon_vma(self) -> None:
        """A page is about to be written to (anon_vma_prepare)."""
        self.has_anon_vma = True
        if self.slot is not None:
            self.slot.has_anon_vma = True


class VmaHooks:
    """What the rest of the kernel calls (uksm_vma_add_new, uksm_remove_vma, ksm_madvise)."""

    def __init__(self, uksm: Uksm) -> None:
        self._uksm = uksm
        self._known: dict[Mm, list[SlottedVma]] = {}
        self._made = 0
        self._last: SlottedVma | None = None
        self._last_mm: Mm | None = None

    def changed(self, mm: Mm) -> None:
        """Mappings of `mm` have come, gone, or been cut: each that is not as it was is another."""
        self._last = None
        known = self._known.get(mm, [])
        kept = {id(one.vma): one for one in known}
        now = {id(vma) for vma in mm.vmas}
        gone = [one for one in known if id(one.vma) not in now]
        for one in gone:
            self._remove(one)
        listed = []
        for vma in mm.vmas:
            one = kept.get(id(vma)) or self._add(mm, vma)
            if any(was.has_anon_vma and _overlap(was.vma, vma) for was in gone):
                one.prepare_anon_vma()
            listed.append(one)
        self._known[mm] = listed

    def forked(self, parent: Mm, child: Mm) -> None:
        """The child has all of the parent's mappings, and anon_vmas where that has."""
        self.changed(child)
        pairs = zip(self._known.get(parent, []), self._known[child], strict=True)
        for theirs, own in pairs:
            if theirs.has_anon_vma:
                own.prepare_anon_vma()

    def exiting(self, mm: Mm) -> None:
        """All mappings of `mm` go."""
        self._last = None
        for one in self._known.pop(mm, []):
            self._remove(one)

    def unmergeable(self, mm: Mm, first: int, end: int) -> None:
        """MADV_UNMERGEABLE of pages `first` to `end` - 1 (ksm_madvise).

        KSM pages are copied, zero pages are not. A VMA that is advised as a whole is not scanned
        any more. One that is advised in part is split, and all its parts are scanned: splitting
        makes slots, and comes after the slot has been removed.
        """
        for one in self._known.get(mm, []):
            vma = one.vma
            if not vma.mergeable or vma.end <= first or end <= vma.start:
                continue
            for vpn in range(max(vma.start, first), min(vma.end, end)):
                frame = mm.ptes.get(vpn)
                if frame is not None and frame.ksm:
                    do_wp_page(self._uksm.memory, mm, vpn, frame, by_kernel=True)
            self._remove(one)
        parts = split_vmas(mm, first, end)
        self.changed(mm)
        for vma in parts:
            vma.mergeable = False

    def page_written(self, mm: Mm, vpn: int) -> None:
        """A process is about to write; a copy counts for the VMA's slot.

        uksm_cow_page, uksm_cow_pte. A page that nobody shares any more becomes the writer's own
        (page_move_anon_rmap).
        """
        one = self._last
        if one is None or self._last_mm is not mm or not one.vma.start <= vpn < one.vma.end:
            one = self._last = self._vma_at(mm, vpn)
            self._last_mm = mm
        one.prepare_anon_vma()
        frame = mm.ptes.get(vpn)
        if frame is None:
            return
        if frame.ksm or vpn in mm.ksm_zero:
            if one.slot is not None:
                one.slot.pages_cowed += 1
        elif frame.anon and frame.mapcount == 1 and not frame.references:
            frame.stable_node = mm

    def _vma_at(self, mm: Mm, vpn: int) -> SlottedVma:
        known = self._known[mm]
        one = known[bisect_right(known, vpn, key=lambda one: one.vma.start) - 1]
        assert one.vma.start <= vpn < one.vma.end, "the page is mapped"
        return one

    def _add(self, mm: Mm, vma: Vma) -> SlottedVma:
        # uksm_vma_add_new
        uksm = self._uksm
        self._made += 1
        slot = Slot(self._made, mm, vma)
        vma.mergeable = True
        uksm.new_slots.append(slot)
        uksm.slots += 1
        return SlottedVma(vma, slot)

    def _remove(self, one: SlottedVma) -> None:
        # uksm_remove_vma
        slot, one.slot = one.slot, None
        if slot is None:
            return
        if slot.rung is None:
            self._uksm.new_slots.remove(slot)
            self._uksm.slots -= 1
        else:
            slot.dead = True
            self._uksm.dead_slots.append(slot)


def cleanup_vma_slots(uksm: Uksm) -> None:
    """Destroy dead slots: their items leave the trees now.

    cleanup_vma_slots, uksm_del_vma_slot.
    """
    dead, uksm.dead_slots = uksm.dead_slots, []
    for start in range(0, len(dead), _AT_ONCE):
        for slot in reversed(dead[start : start + _AT_ONCE]):
            _del_vma_slot(uksm, slot)


def enter_all_slots(uksm: Uksm) -> None:
    """Waiting slots whose VMA has been written to enter rung 0 (uksm_enter_all_slots).

    The others wait on, ahead of those to come, in an order that is reversed each time.
    """
    ready = [slot for slot in uksm.new_slots if slot.has_anon_vma]
    uksm.new_slots = [slot for slot in reversed(uksm.new_slots) if not slot.has_anon_vma]
    if ready:
        uksm.rungs[0].enter(ready, uksm.page_time)


def _del_vma_slot(uksm: Uksm, slot: Slot) -> None:
    if slot.rung is not None:
        slot.rung.remove(slot, uksm.page_time)
    uksm.noted_slots.pop(slot, None)
    if slot.is_scanned:
        uksm.pages_total -= slot.pages
    for item in slot.take_items():
        remove_rmap_item_from_tree(uksm, item, freed=True)
    seen = slot.pages if slot.fully_scanned_round == uksm.full_scans else slot.pages_scanned
    # An unsigned long, which may wrap.
    uksm.scanned_virtual_pages = (uksm.scanned_virtual_pages - seen) % _M64
    uksm.slots -= 1


def _overlap(one: Vma, other: Vma) -> bool:
    return one.start < other.end and other.start < one.end
