"""One process's pages by address and pass; the map gets coarser as memory and time grow."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ksmtrace.model.runs import run_lengths, run_starts

MOST_ROWS = 64
MOST_COLUMNS = 128
LEAST_ROW_SHIFT = 16
"""Bits of an address within the finest row: 64 KiB."""


class State(IntEnum):
    """Where pages are.

    UNKNOWN: nothing was seen there, or the pass was not seen from its start to its end. GONE:
    rmap_items that were freed.
    """

    UNKNOWN = 0
    MERGED = 1
    CANDIDATE = 2
    VOLATILE = 3
    SKIPPED = 4
    GONE = 5


class Grid:
    """Cells of pages by `State`: rows are runs of addresses that have had pages, columns passes.

    When there are more than `MOST_ROWS`, rows get twice as long; when there are `MOST_COLUMNS`,
    columns are put together two by two. Runs in which there never was a page have no row.

    Attributes:
        row_shift: bits of an address within a row.
        passes_per_column: passes in each column; the last may not have all of them yet.
    """

    def __init__(self) -> None:
        self.row_shift = LEAST_ROW_SHIFT
        self.passes_per_column = 1
        self._places = np.zeros(0, dtype=np.uint64)
        self._counts = np.zeros((0, MOST_COLUMNS, len(State)), dtype=np.int64)
        self._most = np.zeros(0, dtype=np.int64)
        self._passes = 0

    @property
    def columns(self) -> int:
        """Columns begun."""
        return -(-self._passes // self.passes_per_column)

    def rows(self) -> list[int]:
        """First address of each row, ascending."""
        return [place << self.row_shift for place in self._places.tolist()]

    def cells(self) -> npt.NDArray[np.int64]:
        """State of most pages of each cell, of a tie the lower; shape (rows, columns)."""
        return _fullest(self._counts[:, : self.columns, State.MERGED :])

    def view(self, most_rows: int, most_columns: int) -> npt.NDArray[np.int64]:
        """The same in a small space: rows put together, latest columns; shape (rows, columns)."""
        counts = self._counts[:, max(0, self.columns - most_columns) : self.columns, State.MERGED :]
        if not len(counts):
            return np.zeros((0, 0), dtype=np.int64)
        together = -(-len(counts) // most_rows)
        counts = np.add.reduceat(counts, np.arange(0, len(counts), together), axis=0)
        return _fullest(counts)

    def add(
        self, addresses: npt.NDArray[np.uint64], states: npt.NDArray[np.uint8], *, whole: bool
    ) -> None:
        """A pass has ended with these pages; unless it was seen `whole`, its column is unknown."""
        if self._passes == MOST_COLUMNS * self.passes_per_column:
            self._halve_columns()
        column = self._passes // self.passes_per_column
        self._passes += 1
        if not whole:
            return
        places, counts = self._make_room(*_by_place(addresses >> np.uint64(self.row_shift), states))
        now = np.zeros((len(self._places), len(State)), dtype=np.int64)
        now[np.searchsorted(self._places, places)] = counts
        there = now.sum(axis=1)
        self._most = np.maximum(self._most, there)
        now[:, State.GONE] = self._most - there
        self._counts[:, column] += now

    def _make_room(
        self, places: npt.NDArray[np.uint64], counts: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """Rows for these places too; returns places and counts as the rows now are."""
        every = np.union1d(self._places, places)
        while len(every) > MOST_ROWS:
            self._merge_rows()
            places, counts = _merged(places, counts)
            every = np.union1d(self._places, places)
        if len(every) == len(self._places):
            return places, counts
        kept = np.searchsorted(every, self._places)
        longer = np.zeros((len(every), MOST_COLUMNS, len(State)), dtype=np.int64)
        longer[kept] = self._counts
        most = np.zeros(len(every), dtype=np.int64)
        most[kept] = self._most
        self._places, self._counts, self._most = every, longer, most
        return places, counts

    def _merge_rows(self) -> None:
        self.row_shift += 1
        places = self._places
        self._places, self._counts = _merged(places, self._counts)
        _, self._most = _merged(places, self._most)

    def _halve_columns(self) -> None:
        pairs = self._counts[:, ::2] + self._counts[:, 1::2]
        self._counts = np.concatenate([pairs, np.zeros_like(pairs)], axis=1)
        self.passes_per_column *= 2


def _fullest(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    states = counts.argmax(axis=2) + State.MERGED
    return np.where(counts.any(axis=2), states, State.UNKNOWN)


def _by_place(
    places: npt.NDArray[np.uint64], states: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Distinct places, ascending, and how many pages of each state each has."""
    if not len(places):
        return places, np.zeros((0, len(State)), dtype=np.int64)
    # Most rmap_items are in the order of their addresses: only the first of a run need be sorted.
    starts = run_starts(places)
    distinct, of_run = np.unique(places[starts], return_inverse=True)
    row = np.repeat(of_run, run_lengths(starts, len(places)))
    counts = np.bincount(row * len(State) + states, minlength=len(distinct) * len(State))
    return distinct, counts.reshape(-1, len(State))


def _merged(
    places: npt.NDArray[np.uint64], counts: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Rows two by two."""
    merged, into = np.unique(places >> np.uint64(1), return_inverse=True)
    sums = np.zeros((len(merged), *counts.shape[1:]), dtype=np.int64)
    np.add.at(sums, into, counts)
    return merged, sums
