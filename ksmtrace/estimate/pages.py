"""Pages that were looked at, as columns: whose each is, its frame, its hash, and what it is."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntFlag
from typing import Self

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]


class Bit(IntFlag):
    """What a page is."""

    ADVISED = 1
    """Its mapping is mergeable."""
    HUGE = 2
    """Part of a huge page."""
    MERGED = 4
    """A KSM page now."""
    FORKED = 8
    """Its frame is mapped more than once, and it is no KSM page."""
    ZERO = 16
    """It holds nothing but zeroes."""
    CHANGED = 32
    """It had another content at the look before."""
    UNREAD = 64
    """Its content is not known: it was unmapped or swapped out meanwhile."""


def byte(bits: Bit) -> np.uint8:
    """The bits as NumPy wants them, to change a column."""
    return np.uint8(bits)


@dataclass(frozen=True, slots=True)
class Pages:
    """Columns of equal length n, a page each.

    Attributes:
        process: place of its process among those looked at, int32.
        address: where it is mapped, uint64.
        frame: its frame number, uint64; 0 where frames are not shown.
        hash: of its content, uint64; 0 where it was not read.
        bits: `Bit`, uint8.
    """

    process: npt.NDArray[np.int32]
    address: Words
    frame: Words
    hash: Words
    bits: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.process)

    def __getitem__(self, chosen: Mask | Places | slice) -> Self:
        return type(self)(*(getattr(self, column.name)[chosen] for column in fields(self)))

    def has(self, bit: Bit) -> Mask:
        """Which pages have a bit, shape (n,)."""
        found: Mask = (self.bits & np.uint8(bit)) != 0
        return found

    def numbered(self) -> Self:
        """The same pages, with the hash replaced by a number of the content, from 0 on."""
        _, numbers = np.unique(self.hash, return_inverse=True)
        return replace(self, hash=numbers.astype(np.uint64))

    @classmethod
    def empty(cls) -> Self:
        """No pages."""
        names = (column.name for column in fields(cls))
        return cls(**{n: np.zeros(0, dtype=d) for n, d in zip(names, _DTYPES, strict=True)})

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """All pages of several, in their order."""
        if not parts:
            return cls.empty()
        return cls(
            **{c.name: np.concatenate([getattr(one, c.name) for one in parts]) for c in fields(cls)}
        )


_DTYPES = (np.int32, np.uint64, np.uint64, np.uint64, np.uint8)
