"""What is known of a process by which its memory's words can be told: mappings, times, canary."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Words
from ksmtrace.kernel.files import read_bytes
from ksmtrace.kernel.mappings import Mapping
from ksmtrace.kernel.sysfs import ROOT

_AT_RANDOM = 25
"""Of the auxiliary vector: where the kernel put 16 random bytes (getauxval(3))."""
_ARENA_BYTES = 64 << 20
"""glibc's HEAP_MAX_SIZE: its arenas begin at multiples of it."""


@dataclass(frozen=True, slots=True)
class Now:
    """The time by both clocks, in nanoseconds.

    Attributes:
        real: since 1970.
        monotonic: since the boot.
    """

    real: int
    monotonic: int


def now() -> Now:
    """The present time."""
    return Now(time.time_ns(), time.monotonic_ns())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of one process.

    Attributes:
        starts, ends: of its mappings, by address, shape (n,).
        names: of them; "" for anonymous ones.
        heaps: which of them glibc's allocator may use; shape (n,).
        canary: of its stack protector by glibc's rule; 0 where not known.
        started: when it began, monotonic, in nanoseconds.
    """

    starts: Words
    ends: Words
    names: Sequence[str]
    heaps: npt.NDArray[np.bool_]
    canary: int
    started: int

    def mapping_of(self, values: Words) -> npt.NDArray[np.int64]:
        """The place of the mapping in which each value is an address; -1 for none."""
        if not len(self.starts):
            return np.full(len(values), -1, dtype=np.int64)
        at = np.searchsorted(self.starts, values, side="right").astype(np.int64) - 1
        inside = (at >= 0) & (values < self.ends[np.maximum(at, 0)])
        return np.where(inside, at, -1)


def surroundings(mappings: Sequence[Mapping], canary: int = 0, started: int = 0) -> Surroundings:
    """What mappings tell."""
    heaps = [
        one.name == "[heap]" or (not one.name and one.start % _ARENA_BYTES == 0) for one in mappings
    ]
    return Surroundings(
        np.array([one.start for one in mappings], dtype=np.uint64),
        np.array([one.end for one in mappings], dtype=np.uint64),
        [one.name for one in mappings],
        np.array(heaps, dtype=np.bool_),
        canary,
        started,
    )


def read_canary(pid: int, root: Path = ROOT) -> int:
    """The canary of a process by glibc's rule: of AT_RANDOM's first 8 bytes the lowest is 0.

    0 where it cannot be read.
    """
    vector = np.frombuffer(_whole_pairs(read_bytes(root / f"proc/{pid}/auxv") or b""), np.uint64)
    address = next((int(value) for kind, value in vector.reshape(-1, 2) if kind == _AT_RANDOM), 0)
    try:
        with (root / f"proc/{pid}/mem").open("rb", buffering=0) as memory:
            read = os.pread(memory.fileno(), 8, address) if address else b""
    except (OSError, OverflowError):
        return 0
    return int.from_bytes(read, "little") & ~0xFF if len(read) == 8 else 0


def _whole_pairs(vector: bytes) -> bytes:
    return vector[: len(vector) // 16 * 16]


def started_ns(start_ticks: int) -> int:
    """When a process began, monotonic, in nanoseconds, from its start in clock ticks."""
    return start_ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
