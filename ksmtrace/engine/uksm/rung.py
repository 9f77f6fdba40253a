"""A rung of the ladder: the slots on it, and which page of them comes next."""

from __future__ import annotations

import random
from heapq import heappop, heappush

from ksmtrace.engine.uksm.slot import Slot

RUNG_SAMPLED_MIN = 3
_NS_A_MSEC_AND_RATIO = 100
"""NSEC_PER_MSEC / TIME_RATIO_SCALE."""

_M64 = 2**64


class Rung:
    """One of the four rungs (struct scan_rung).

    Slots stand in an index whose first free place is filled first.

    Args:
        chance: draws where each round begins.

    Attributes:
        cpu_ratio: its share of one CPU in 1/10000; below 0, of max_cpu_percentage.
        cover_msecs: in what time it is to be covered.
        pages_to_scan: what is left of its quota.
        count: how many slots it has.
        pages: how many pages those have.
        current: the slot of the next visit; of no meaning while there is none.
        offset: of the next visit in that slot.
        step: of `step` pages one is visited.
        round_finished: its end has been reached in this round.
    """

    def __init__(self, number: int, chance: random.Random) -> None:
        self.number = number
        self.cpu_ratio = 1
        self.cover_msecs = 0
        self.pages_to_scan = 0
        self.count = 0
        self.pages = 0
        self.current: Slot | None = None
        self.offset = 0
        self.step = 1
        self.round_finished = False
        self._chance = chance
        self._places: list[Slot | None] = []
        self._free: list[int] = []

    def slots(self) -> list[Slot]:
        """The slots, in the order of the index."""
        return [slot for slot in self._places if slot is not None]

    def calc_step(self, page_time: int, ratio: int) -> None:
        """How many pages one visit stands for (uksm_calc_rung_step).

        Args:
            page_time: nanoseconds a page.
            ratio: in 1/10000. Where UKSM gives a negative one, it is taken for a huge number, and
                the step becomes 1.
        """
        if not self.cover_msecs:
            self.step = 1
            return
        sampled = self.cover_msecs * _NS_A_MSEC_AND_RATIO * ratio % _M64 // page_time
        self.step = max(1, self.pages // max(sampled, RUNG_SAMPLED_MIN))

    def enter(self, slots: list[Slot], page_time: int) -> None:
        """Take slots in, in this order (rung_add_new_slots, rung_add_one_slot)."""
        for slot in slots:
            slot.rung = self
            if self._free:
                slot.place = heappop(self._free)
                self._places[slot.place] = slot
            else:
                slot.place = len(self._places)
                self._places.append(slot)
            self.pages += slot.pages
        self.count += len(slots)
        if self.count == len(slots):
            self.reset(page_time, finished=False, recalc=True)

    def remove(self, slot: Slot, page_time: int) -> None:
        """Take a slot off (rung_rm_slot)."""
        if self.current is slot:
            self.advance(page_time)
        self._places[slot.place] = None
        heappush(self._free, slot.place)
        slot.rung, slot.place = None, -1
        self.count -= 1
        self.pages -= slot.pages
        if self._needs_recalc():
            self.calc_step(page_time, self.cpu_ratio)
        if self.count and self.current is slot:
            self.reset(page_time, finished=True)

    def advance(self, page_time: int) -> None:
        """Leave the current slot for the next that has a page to visit (advance_current_scan)."""
        slot = self.current
        assert slot is not None, "the rung is not empty"
        skip = self.step - (slot.pages - self.offset) % self.step
        if not self._find(slot.place + 1, skip):
            self.reset(page_time, finished=True)

    def reset(self, page_time: int, *, finished: bool, recalc: bool = False) -> None:
        """Begin again at the first slots (reset_current_scan).

        Args:
            page_time: nanoseconds a page.
            finished: the end of the rung has been reached.
            recalc: the step is computed anew, by the ratio as it is written.
        """
        if finished:
            self.round_finished = True
        if recalc or self._needs_recalc():
            self.calc_step(page_time, self.cpu_ratio)
        found = self._find(0, self._chance.randrange(self.step))
        assert found, "a step is no longer than the rung"

    def _find(self, place: int, skip: int) -> bool:
        for slot in self._places[place:]:
            if slot is None:
                continue
            if skip < slot.pages:
                self.current, self.offset = slot, skip
                return True
            skip -= slot.pages
        return False

    def _needs_recalc(self) -> bool:
        # step_need_recalc
        most = self.pages // RUNG_SAMPLED_MIN
        return self.pages > 0 and (self.step > self.pages or 0 < most < self.step)
