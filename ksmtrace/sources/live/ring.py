"""Readers of the BPF ring: mapped into this process where that is safe, else bcc's callback."""

from __future__ import annotations

import ctypes
import mmap
import platform
from typing import Protocol

import numpy as np

from ksmtrace.events.record import RECORD, Records, empty_records
from ksmtrace.sources.live.program import Program

_BUSY = np.uint32(1 << 31)
_DISCARDED = np.uint32(1 << 30)
_SLOT = np.dtype([("length", "<u4"), ("page", "<u4"), ("event", RECORD)])

CALLBACK_BATCH = 65536
"""Events after which bcc's loop is told to stop: it would go on for as long as events arrive."""


class RingReader(Protocol):
    """Takes events out of a ring."""

    capacity: int

    def drain(self) -> Records:
        """The events that have arrived, in order; they are the caller's."""
        ...

    def close(self) -> None:
        """Release the ring."""
        ...


def open_ring(program: Program, ring_bytes: int, *, mapped: bool | None = None) -> RingReader:
    """A reader of the program's ring.

    `mapped` None means: mapped where plain loads are ordered (x86-64).
    """
    if mapped is None:
        mapped = platform.machine() == "x86_64"
    return (
        MappedRing(program.ring.map_fd, ring_bytes) if mapped else CallbackRing(program, ring_bytes)
    )


class MappedRing:
    """The ring as libbpf maps it: consumer page, producer page, then the data twice in a row.

    Relies on x86-64's ordering of loads: whatever is below the producer position is there to read.
    All records have one size, so that a drain is one strided view.
    """

    def __init__(self, map_fd: int, ring_bytes: int) -> None:
        self.capacity = ring_bytes // _SLOT.itemsize
        self._mask = ring_bytes - 1
        page = mmap.PAGESIZE
        self._consumer_map = mmap.mmap(
            map_fd, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        )
        self._data_map = mmap.mmap(
            map_fd, page + 2 * ring_bytes, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._consumer = np.frombuffer(self._consumer_map, dtype="<u8", count=1)
        self._producer = np.frombuffer(self._data_map, dtype="<u8", count=1)

    def drain(self) -> Records:
        """The events between the consumer's position and the producer's."""
        position = int(self._consumer[0])
        count = (int(self._producer[0]) - position) // _SLOT.itemsize
        if count == 0:
            return empty_records()
        slots = np.ndarray((count,), _SLOT, self._data_map, mmap.PAGESIZE + (position & self._mask))
        busy = np.flatnonzero(slots["length"] & _BUSY)
        if len(busy):
            slots = slots[: busy[0]]
        kept = (slots["length"] & _DISCARDED) == 0
        events = slots["event"][kept] if not kept.all() else slots["event"].copy()
        self._consumer[0] = position + len(slots) * _SLOT.itemsize
        return events

    def close(self) -> None:
        """Unmap the ring."""
        del self._consumer, self._producer
        self._consumer_map.close()
        self._data_map.close()


class CallbackRing:
    """The ring through bcc's own reader: slower, and right on every machine."""

    def __init__(self, program: Program, ring_bytes: int) -> None:
        self.capacity = ring_bytes // _SLOT.itemsize
        self._bpf = program.bpf
        self._taken: list[bytes] = []
        program.ring.open_ring_buffer(self._take)

    def _take(self, _context: object, data: int, size: int) -> int:
        self._taken.append(ctypes.string_at(data, size))
        return -1 if len(self._taken) >= CALLBACK_BATCH else 0

    def drain(self) -> Records:
        """At most `CALLBACK_BATCH` events."""
        self._taken.clear()
        self._bpf.ring_buffer_consume()
        return np.frombuffer(b"".join(self._taken), dtype=RECORD).copy()

    def close(self) -> None:
        """Nothing to release: the ring goes with its program."""
        self._taken.clear()
