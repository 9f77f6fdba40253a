"""Pages that were merged before the first event: known by mm and address, not by rmap_item."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Ids = npt.NDArray[np.int64]


class Untold:
    """The numbers of pages whose rmap_items no event has told yet, by mm and address."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[Words, Ids]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, mm: Words, address: Words, number: Ids) -> None:
        """Put in pages, none of which is in it."""
        order = np.lexsort((address, mm))
        mms, starts = np.unique(mm[order], return_index=True)
        parts = zip(mms.tolist(), np.split(order, starts[1:]), strict=True)
        for one, part in parts:
            addresses, numbers = address[part], number[part]
            if one in self._of:
                before = self._of[one]
                addresses = np.concatenate([before[0], addresses])
                numbers = np.concatenate([before[1], numbers])
                sorted_again = np.argsort(addresses, kind="stable")
                addresses, numbers = addresses[sorted_again], numbers[sorted_again]
            self._of[one] = addresses, numbers
        self._count += len(mm)

    def take(self, mm: int, address: int) -> int:
        """The number of a page, which is taken out; -1 for one that is not in it."""
        if mm not in self._of:
            return -1
        addresses, numbers = self._of[mm]
        at = int(np.searchsorted(addresses, np.uint64(address)))
        if at == len(addresses) or int(addresses[at]) != address or numbers[at] < 0:
            return -1
        number = int(numbers[at])
        numbers[at] = -1
        self._count -= 1
        return number

    def forget(self, mm: int) -> None:
        """Take out all pages of an mm."""
        _, numbers = self._of.pop(mm, (None, np.zeros(0, dtype=np.int64)))
        self._count -= int(np.count_nonzero(numbers >= 0))
