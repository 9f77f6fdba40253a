"""The rmap_items of a run, each under a small number by which arrays can be indexed."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag
from ksmtrace.events.record import Records, true_rows
from ksmtrace.model.addresses import AddressMap
from ksmtrace.model.untold import Untold, Words

Ids = npt.NDArray[np.int64]
"""Numbers of rmap_items, or of stable nodes."""

_Column = TypeVar("_Column", bound=np.generic)

_LEAST = 1024

_ABOUT = (
    *(kinds.CMP_AND_MERGE_PAGE, kinds.TRY_TO_MERGE_ONE_PAGE, kinds.REPLACE_PAGE),
    *(kinds.BREAK_COW, kinds.STABLE_APPEND, kinds.REMOVE_RMAP_ITEM, kinds.SKIPPED),
)

_SHOWS = np.zeros(256, dtype=bool)
_SHOWS[[EventKind.CMP_AND_MERGE_PAGE, EventKind.STABLE_APPEND, EventKind.SKIPPED]] = True

_FREED = int(Flag.FREED)


class ItemTable:
    """rmap_items alive, by number.

    A number belongs to one rmap_item from its first event to the end of the batch in which it was
    freed; then another may get it. So what is kept in arrays by number needs room for the pages
    alive, however long the run.

    Attributes:
        mm: by number, the mm; dtype uint64.
        address: by number, the page's virtual address; dtype uint64.
        alive: by number, whether it is somebody's; dtype bool.
        born: numbers given in the last batch, in that order.
        freed: numbers whose rmap_items were freed in the last batch.
    """

    def __init__(self) -> None:
        self.mm = np.zeros(_LEAST, dtype=np.uint64)
        self.address = np.zeros(_LEAST, dtype=np.uint64)
        self.alive = np.zeros(_LEAST, dtype=bool)
        self.born: Ids = np.zeros(0, dtype=np.int64)
        self.freed: Ids = np.zeros(0, dtype=np.int64)
        self._pointer = np.zeros(_LEAST, dtype=np.uint64)
        self._number = AddressMap()
        self._untold = Untold()
        self._free: list[int] = []
        self._used = 0

    def __len__(self) -> int:
        return len(self._number) + len(self._untold)

    @property
    def capacity(self) -> int:
        """Every number is below this; arrays indexed by number need this length."""
        return len(self.mm)

    def numbers(self) -> Ids:
        """The numbers of all rmap_items alive, ascending."""
        return true_rows(self.alive)

    def resolve(self, batch: EventBatch) -> Ids:
        """The number of each event's rmap_item, shape (n,); -1 for none and for an unknown one.

        An examination, an append or a skip makes an rmap_item known; a removal that frees it is the
        last event with its number.
        """
        self._free.extend(self.freed.tolist())
        rows = true_rows(batch.where_any(*_ABOUT))
        those, pointers = batch.kind[rows], batch.rmap_item[rows]
        if len(self._untold):
            self._tell(batch.events[rows])
        gone = batch.flags[rows] & _FREED != 0
        frees = gone & (those == kinds.REMOVE_RMAP_ITEM)
        found = self._number.look_up(pointers)
        one_by_one = found < 0
        if frees.any():
            one_by_one |= np.isin(pointers, pointers[frees])
        chosen = true_rows(one_by_one)
        those, gone = those[chosen], gone[chosen]
        shows = _SHOWS[those] & (pointers[chosen] != 0)
        shows &= ~(gone & (those == kinds.CMP_AND_MERGE_PAGE))
        found[chosen] = self._in_order(
            pointers[chosen].tolist(), shows.tolist(), frees[chosen].tolist()
        )
        ids = np.full(len(batch), -1, dtype=np.int64)
        ids[rows] = found
        if len(self.born):
            self._note(batch, ids)
        return ids

    def adopt(self, mm: Words, address: Words) -> Ids:
        """Numbers for pages that were merged before the first event; no page comes twice.

        Their rmap_items are not known until one of them joins a stable node.
        """
        numbers = np.arange(self._used, self._used + len(mm), dtype=np.int64)
        self._used += len(mm)
        self._grow()
        self.mm[numbers], self.address[numbers] = mm, address
        self._pointer[numbers] = 0
        self.alive[numbers] = True
        self._untold.add(mm, address, numbers)
        return numbers

    def drop_all(self, mm: int) -> Ids:
        """Drop an mm's rmap_items, gone without an event that says so; returns their numbers."""
        alive = self.numbers()
        gone: Ids = alive[self.mm[alive] == np.uint64(mm)]
        self._untold.forget(mm)
        for pointer in self._pointer[gone].tolist():
            if pointer:
                self._number.remove(pointer)
        self.alive[gone] = False
        self._free.extend(gone.tolist())
        return gone

    def _tell(self, events: Records) -> None:
        """See by which rmap_items pages that were merged before are known."""
        for event in events[events["kind"] == kinds.STABLE_APPEND]:
            pointer = int(event["rmap_item"])
            if pointer and self._number.get(pointer) < 0:
                number = self._untold.take(int(event["mm"]), int(event["address"]))
                if number >= 0:
                    self._number.add(pointer, number)
                    self._pointer[number] = pointer

    def _in_order(self, pointers: list[int], shows: list[bool], frees: list[bool]) -> list[int]:
        numbers, free = self._number, self._free
        out, born, freed = [], [], []
        for pointer, shown, gone in zip(pointers, shows, frees, strict=True):
            number = numbers.get(pointer)
            if number < 0 and shown:
                if free:
                    number = free.pop()
                else:
                    number = self._used
                    self._used += 1
                numbers.add(pointer, number)
                born.append((number, pointer))
            elif gone and number >= 0:
                numbers.remove(pointer)
                freed.append(number)
            out.append(number)
        self._grow()
        self.born = np.array([number for number, _ in born], dtype=np.int64)
        self._pointer[self.born] = np.array([pointer for _, pointer in born], dtype=np.uint64)
        self.freed = np.array(freed, dtype=np.int64)
        self.alive[self.born] = True
        self.alive[self.freed] = False
        return out

    def _note(self, batch: EventBatch, ids: Ids) -> None:
        new = np.zeros(self.capacity, dtype=bool)
        new[self.born] = True
        rows = true_rows(ids >= 0)
        rows = rows[new[ids[rows]]]
        self.mm[ids[rows]] = batch.events["mm"][rows]
        self.address[ids[rows]] = batch.events["address"][rows]

    def _grow(self) -> None:
        if self._used > self.capacity:
            size = max(self._used, 2 * self.capacity)
            self.mm, self.address = grown(self.mm, size), grown(self.address, size)
            self.alive = grown(self.alive, size)
            self._pointer = grown(self._pointer, size)


def grown(column: npt.NDArray[_Column], size: int) -> npt.NDArray[_Column]:
    """`column`, or a copy with zeros at its end, that has at least `size` rows."""
    if len(column) >= size:
        return column
    longer = np.zeros(size, dtype=column.dtype)
    longer[: len(column)] = column
    return longer
