"""Where in memory pages lie, in runs of 2 MiB."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RANGE_SHIFT = 21
"""Bits of an address within a range."""


@dataclass(frozen=True, slots=True)
class Range:
    """Pages of one 2 MiB of an address space.

    Attributes:
        start: its first address.
        counts: pages by class, shape (classes,), dtype int64.
    """

    mm: int
    start: int
    counts: npt.NDArray[np.int64]

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.start + (1 << RANGE_SHIFT)


def fullest_ranges(
    mm: npt.NDArray[np.uint64],
    address: npt.NDArray[np.uint64],
    which: npt.NDArray[np.integer],
    classes: int,
    most: int,
) -> list[Range]:
    """The ranges with most pages, most first, ties in the order of mm and address.

    Args:
        mm: of each page; shape (n,).
        address: its virtual address, likewise.
        which: its class, likewise.
        classes: how many classes there are.
        most: how many ranges to return.
    """
    if not len(mm):
        return []
    mms, owner = np.unique(mm, return_inverse=True)
    place = (address >> np.uint64(RANGE_SHIFT)).astype(np.int64)
    keys, of_page = np.unique(owner << (64 - RANGE_SHIFT) | place, return_inverse=True)
    counts = np.bincount(of_page * classes + which, minlength=len(keys) * classes)
    table = counts.reshape(-1, classes)
    order = np.argsort(-table.sum(axis=1), kind="stable")[:most]
    return [
        Range(
            int(mms[keys[row] >> (64 - RANGE_SHIFT)]),
            int(keys[row] & (1 << (64 - RANGE_SHIFT)) - 1) << RANGE_SHIFT,
            table[row],
        )
        for row in order.tolist()
    ]
