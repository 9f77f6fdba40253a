"""The record of one event: 64 bytes, the same in the kernel, in memory and as capture columns."""

from __future__ import annotations

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


def empty_records(count: int = 0) -> Records:
    """`count` records, all zero."""
    return np.zeros(count, dtype=RECORD)
