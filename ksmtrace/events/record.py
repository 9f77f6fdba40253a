"""The record of one event: 64 bytes, the same in the kernel, in memory and as capture columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

RECORD: np.dtype[np.void] = np.dtype(
    [
        ("ts", "<u8"),  # CLOCK_MONOTONIC, nanoseconds
        ("seq", "<u2"),  # per CPU, wraps; a gap is a loss
        ("cpu", "<u2"),
        ("err", "<i2"),  # 0 or -errno
        ("kind", "u1"),  # EventKind
        ("flags", "u1"),  # Flag
        ("oldchecksum", "<u4"),
        ("checksum", "<u4"),
        ("mm", "<u8"),
        ("address", "<u8"),
        ("pfn", "<u8"),
        ("rmap_item", "<u8"),
        ("aux", "<u8"),  # by kind: see EventKind
    ]
)
"""dtype of one event; `struct ksm_event` of bpf/ksm_event.h, field by field."""

Records = npt.NDArray[np.void]
"""A one-dimensional array of dtype `RECORD`."""


_WHOLE = np.dtype((np.void, RECORD.itemsize))
"""A record without its fields: NumPy copies records field by field, which takes forty times as
long."""


def true_rows(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Where a column of one dimension is true: `np.flatnonzero` without its detours."""
    return mask.nonzero()[0]


def empty_records(count: int = 0) -> Records:
    """`count` records, all zero."""
    return np.zeros(count, dtype=RECORD)


def joined(pieces: Sequence[Records]) -> Records:
    """The records of all, in order: a copy, except of one piece alone."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return empty_records()
    return np.concatenate([piece.view(_WHOLE) for piece in pieces]).view(RECORD)


def picked(
    records: Records, which: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | None = None
) -> Records:
    """A copy of those in these rows, or where it is true; without either, of all."""
    whole = records.view(_WHOLE)
    chosen: Records = (whole.copy() if which is None else whole[which]).view(RECORD)
    return chosen
