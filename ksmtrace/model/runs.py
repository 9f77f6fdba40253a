"""Runs of equal values in a column: events of one mm, of one page of structs, of one second."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def run_starts(column: npt.NDArray[Any]) -> Ints:
    """Where each run begins."""
    begins = np.ones(len(column), dtype=bool)
    np.not_equal(column[1:], column[:-1], out=begins[1:])
    return begins.nonzero()[0]


def run_lengths(starts: Ints, count: int) -> Ints:
    """How long each run is, of a column with `count` rows."""
    lengths = np.empty(len(starts), dtype=np.int64)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1:] = count - starts[-1:]
    return lengths
