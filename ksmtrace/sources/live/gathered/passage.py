"""Which mms ksmd passed on its way and found gone, and what registered or exited meanwhile."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import Records, true_rows
from ksmtrace.sources.live.gathered.chunk import IN_STABLE, Ints
from ksmtrace.sources.live.gathered.mm_list import HEAD, MmList
from ksmtrace.sources.live.gathered.own import Own
from ksmtrace.sources.live.gathered.places import FREED, LATE, PLACE_SHIFT
from ksmtrace.sources.live.gathered.population import Items, Population, joined
from ksmtrace.sources.live.gathered.visit import Visit


class Registration(NamedTuple):
    """An MM_ENTER or MM_EXIT.

    Attributes:
        place: where in the batch.
        kind: which.
        mm: whose.
    """

    place: int
    kind: int
    mm: int


def registrations(held: Records) -> list[tuple[int, int]]:
    """Mm and kind of each MM_ENTER and MM_EXIT."""
    kind = held["kind"]
    rows = true_rows((kind == kinds.MM_ENTER) | (kind == kinds.MM_EXIT))
    return list(zip(held["mm"][rows].tolist(), kind[rows].tolist(), strict=True))


def registered(
    held: Records, rows: npt.NDArray[np.intp], keys: Ints, visited: Visit
) -> list[Registration]:
    """MM_ENTER and MM_EXIT by place; an exit is behind what was gathered of its mm as it exited.

    Args:
        held: records of the ring.
        rows: those of other tasks.
        keys: where each goes.
        visited: the batch.
    """
    kind = held["kind"][rows]
    left = {
        stretch.mm: visited.end_of(number)
        for number, stretch in enumerate(visited.walk.stretches)
        if visited.leaving[number]
    }
    found = []
    concerned = (kind == kinds.MM_ENTER) | (kind == kinds.MM_EXIT)
    for row in true_rows(concerned).tolist():
        mm, place = int(held["mm"][rows[row]]), int(keys[row] >> PLACE_SHIFT)
        if kind[row] == kinds.MM_EXIT:
            place = max(place, left.get(mm, place))
        found.append(Registration(place, int(kind[row]), mm))
    return found


class Passage:
    """ksmd's way over the list of mms in one batch.

    Args:
        order: the list, which is brought up to date.
        populations: by mm; those of mms that are gone are taken out.
        former: populations of mms whose address registered again in this batch.
        visited: the batch, whose freed items are added to.
        own: ksmd's records.
        cursor: the mm at which the batch began.

    Attributes:
        lingered: of the mms that ksmd would have freed by what is known, those that it has not: as
            the batch ended, nobody used them and they were on its list.
        gone: of the mms that exited in this batch, those of which all items were freed.
        freed_any: whether all items of some mm were freed.
    """

    def __init__(
        self,
        order: MmList,
        populations: dict[int, Population],
        former: dict[int, Population],
        visited: Visit,
        own: Own,
        cursor: int,
    ) -> None:
        self._order = order
        self._populations = populations
        self._former = former
        self._visited = visited
        self._own = own
        self._cursor = cursor
        self.lingered: set[int] = set()
        self.gone: set[int] = set()
        self.freed_any = False
        stretches = visited.walk.stretches
        self._stretch_of = {one.mm: n for n, one in enumerate(stretches)}
        # Where ksmd was at the mm, it may have freed it before __ksm_exit was called.
        self._exited = {
            one.mm for n, one in enumerate(stretches) if visited.leaving[n] and not one.ended
        }

    def go(self, registrations: list[Registration], *, pass_ended: bool) -> int:
        """Follow it; returns the mm at which the batch ended."""
        waiting = sorted(registrations, key=lambda one: one.place)
        here = self._cursor
        if here != HEAD and here not in self._order:
            self._order.put_behind(HEAD, here)
        here = self._register(waiting, 0, here)
        for number, stretch in enumerate(self._visited.walk.stretches):
            if stretch.mm != here:
                before = self._visited.end_of(number - 1)
                here = self._move(here, stretch.mm, before, first=number == 0)
            here = self._register(waiting, self._visited.end_of(number), here)
        end = self._visited.last
        if pass_ended:
            here = self._move(here, HEAD, end, first=not self._visited.walk.stretches)
            for mm in [mm for mm in self._populations if mm not in self._order]:
                self._gone(mm, end)
        return self._register(waiting, None, here)

    def _move(self, here: int, there: int, place: int, *, first: bool) -> int:
        """Go on from `here` to `there`, passing what is between."""
        unseen = first and here not in self._stretch_of
        if here != HEAD and (unseen or here in self._exited):
            before = self._order.before(here)
            self._gone(here, place)
            here = before
        for mm in self._order.skipped_over(here, there):
            self._gone(mm, place)
        return there

    def _gone(self, mm: int, place: int, part: int = FREED) -> None:
        """All that is known of `mm` was freed."""
        number = self._stretch_of.get(mm)
        if mm in self._former:
            self._visited.freed.add(self._former.pop(mm).items, mm, place, part)
        elif mm in self._visited.walk.lingering:
            self.lingered.add(mm)
            return
        elif number is None:
            if mm in self._populations:
                self._visited.freed.add(self._populations.pop(mm).items, mm, place, part)
        elif self._visited.leaving[number]:
            self._visited.freed.add(self._as_it_left(number), mm, place, part)
            self._populations.pop(mm, None)
            self.gone.add(mm)
        else:
            return
        self.freed_any = True
        self._order.remove(mm)

    def _as_it_left(self, number: int) -> Items:
        """What is known of an mm that exited in this batch."""
        visited = self._visited
        stretch, (low, high) = visited.walk.stretches[number], visited.windows[number]
        part = slice(stretch.first, stretch.stop)
        walk, before = visited.walk, visited.before.take(part)
        head = self._heads()[part] * (walk.tree[part] == IN_STABLE)
        told = np.where(walk.rmap_item[part] != 0, walk.rmap_item[part], before.rmap_item)
        seen = Items(walk.vpn[part], told, walk.tree[part], before.checksum, head, before.since)
        population = self._populations.get(stretch.mm)
        if population is None:
            return seen
        return joined([population.part(0, low), seen, population.part(high, len(population))])

    def _heads(self) -> npt.NDArray[np.uint64]:
        """The stable nodes that the visit's items had or joined."""
        own, heads = self._own, self._visited.before.head.copy()
        rows = true_rows(own.where(kinds.STABLE_APPEND) & (own.item >= 0))
        heads[own.item[rows]] = own.aux[rows]
        return heads

    def _register(self, waiting: list[Registration], until: int | None, here: int) -> int:
        """Carry out what came up to place `until`, ksmd being at `here`; returns where it is then.

        Where the address at which it is registers again, it has left the mm that had it.
        """
        while waiting and (until is None or waiting[0].place <= until):
            one = waiting.pop(0)
            if one.kind == kinds.MM_ENTER:
                if one.mm == here:
                    here = self._order.before(here)
                if one.mm in self._former:
                    self._gone(one.mm, one.place - 1, LATE)
                self._order.put_before(here, one.mm)
            elif one.mm in self._visited.walk.lingering:
                self.lingered.add(one.mm)
            elif one.mm == here:
                self._exited.add(one.mm)
            elif one.mm in self._order:
                if self._populations.get(one.mm) or one.mm in self._stretch_of:
                    self._order.put_behind(here, one.mm)
                else:
                    self._order.remove(one.mm)
        return here
