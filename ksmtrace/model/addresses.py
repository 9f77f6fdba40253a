"""A map from addresses of kernel structs to small numbers, for lookups of many at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ksmtrace.model.runs import run_lengths, run_starts

_STRUCT_SHIFT = 6
_PAGE_SHIFT = 12
_STRUCTS = 1 << (_PAGE_SHIFT - _STRUCT_SHIFT)
_NO_ROW = 0


class AddressMap:
    """Numbers by address, for structs of 64 bytes that the kernel's slabs place page by page.

    A page of structs is a row of a table. A scan meets them in runs from one page, and only the
    first of a run is looked up in a dict. Addresses that are no multiple of 64 are kept apart:
    rmap_items have none, other sources may.
    """

    def __init__(self) -> None:
        self._row_of: dict[int, int] = {}
        self._table = np.full((16, _STRUCTS), -1, dtype=np.int64)
        self._taken: list[int] = [0]
        self._free: list[int] = []
        self._odd: dict[int, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def look_up(self, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """The number of each address, -1 for those not in the map; shape (n,), dtype int64."""
        if not len(addresses):
            return np.zeros(0, dtype=np.int64)
        pages = addresses >> np.uint64(_PAGE_SHIFT)
        starts = run_starts(pages)
        get = self._row_of.get
        firsts: Sequence[int] = pages[starts].tolist()
        rows = np.array([get(page, _NO_ROW) for page in firsts], dtype=np.int64)
        rows = np.repeat(rows, run_lengths(starts, len(addresses)))
        slots = (addresses >> np.uint64(_STRUCT_SHIFT)).astype(np.int64) & (_STRUCTS - 1)
        found: npt.NDArray[np.int64] = self._table[rows, slots]
        odd = (addresses & np.uint64((1 << _STRUCT_SHIFT) - 1)).nonzero()[0]
        if len(odd):
            found[odd] = [self._odd.get(address, -1) for address in addresses[odd].tolist()]
        return found

    def get(self, address: int) -> int:
        """The number of one address, or -1."""
        if address & ((1 << _STRUCT_SHIFT) - 1):
            return self._odd.get(address, -1)
        row = self._row_of.get(address >> _PAGE_SHIFT, _NO_ROW)
        return int(self._table[row, address >> _STRUCT_SHIFT & (_STRUCTS - 1)])

    def add(self, address: int, number: int) -> None:
        """Put in an address that is not in the map."""
        self._count += 1
        if address & ((1 << _STRUCT_SHIFT) - 1):
            self._odd[address] = number
            return
        page = address >> _PAGE_SHIFT
        row = self._row_of.get(page)
        if row is None:
            row = self._row_of[page] = self._new_row()
        self._table[row, address >> _STRUCT_SHIFT & (_STRUCTS - 1)] = number
        self._taken[row] += 1

    def remove(self, address: int) -> None:
        """Take out an address that is in the map; a page without any gives its row back."""
        self._count -= 1
        if address & ((1 << _STRUCT_SHIFT) - 1):
            del self._odd[address]
            return
        page = address >> _PAGE_SHIFT
        row = self._row_of[page]
        self._table[row, address >> _STRUCT_SHIFT & (_STRUCTS - 1)] = -1
        self._taken[row] -= 1
        if not self._taken[row]:
            del self._row_of[page]
            self._free.append(row)

    def _new_row(self) -> int:
        if self._free:
            return self._free.pop()
        row = len(self._taken)
        self._taken.append(0)
        if row == len(self._table):
            more = np.full((len(self._table), _STRUCTS), -1, dtype=np.int64)
            self._table = np.concatenate([self._table, more])
        return row
