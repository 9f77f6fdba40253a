"""Readers of the BPF ring: mapped into this process where that is safe, else bcc's callback.

The ring holds events of 64 bytes, two of them in one write, the second behind a length of its own
as if it were another write, and chunks, which are such a record as header (kind `GATHERED`) with
words of 64 bits behind it.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ksmtrace.events.record import RECORD, Records, empty_records
from ksmtrace.sources.live.gathered.chunk import GATHERED, Words
from ksmtrace.sources.live.gathered.merged import with_appends
from ksmtrace.sources.live.program import Program

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_EVENT = RECORD.itemsize
_SLOT = np.dtype([("length", "<u4"), ("page", "<u4"), ("event", RECORD)])
_TWO_EVENTS = _EVENT + _SLOT.itemsize

CALLBACK_BATCH = 65536
"""Records after which bcc's loop is told to stop: it would go on for as long as events arrive."""

_FIRST_LOOK, _LONGEST_LOOK = 64, 1 << 16
"""Slots that are looked at together, as long as all are events: doubled each time."""


class Drained(NamedTuple):
    """What was taken out of a ring.

    Attributes:
        events: in order; a chunk is its header.
        words: of each chunk among them, in order.
        slots: how many events would have taken as much of the ring.
    """

    events: Records
    words: list[Words]
    slots: int


NOTHING = Drained(empty_records(), [], 0)


class RingReader(Protocol):
    """Takes records out of a ring."""

    capacity: int
    """Events that the ring can hold."""

    def drain(self) -> Drained:
        """The records that have arrived, in order; they are the caller's."""
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
    Events between two chunks have one size, so that they are one strided view.
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

    def drain(self) -> Drained:
        """The records between the consumer's position and the producer's."""
        position, end = int(self._consumer[0]), int(self._producer[0])
        if position == end:
            return NOTHING
        start = mmap.PAGESIZE + (position & self._mask)
        drained, taken = parse_ring(self._data_map, start, end - position)
        self._consumer[0] = position + taken
        return drained

    def close(self) -> None:
        """Unmap the ring."""
        del self._consumer, self._producer
        self._consumer_map.close()
        self._data_map.close()


def parse_ring(data: mmap.mmap | bytes | bytearray, start: int, size: int) -> tuple[Drained, int]:
    """The records in `size` bytes of a ring's `data` from byte `start` on, and how many they take.

    They end before the first that is still being written.
    """
    events: list[Records] = []
    words: list[Words] = []
    at, end, look = start, start + size, _FIRST_LOOK
    while at < end:
        count = min((end - at) // _SLOT.itemsize, look)
        slots = np.ndarray((count,), _SLOT, data, at)
        two = (slots["length"] == _TWO_EVENTS) & (slots["event"]["kind"] != GATHERED)
        plain = int(_leading((slots["length"] & ~np.uint32(_DISCARDED) == _EVENT) | two))
        if plain:
            taken, look = slots[:plain], look * 2 if plain == count else _FIRST_LOOK
            look = min(look, _LONGEST_LOOK)
            kept = taken["length"] & np.uint32(_DISCARDED) == 0
            events.append(taken["event"][kept] if not kept.all() else taken["event"].copy())
            words += [_NO_WORDS] * int(np.count_nonzero(events[-1]["kind"] == GATHERED))
            at += plain * _SLOT.itemsize
            continue
        length = int(np.ndarray((1,), "<u4", data, at)[0])
        if length & _BUSY:
            break
        payload = (length & ~_DISCARDED) - _EVENT
        if not length & _DISCARDED and payload >= 0:
            events.append(np.ndarray((1,), RECORD, data, at + 8).copy())
            words.append(np.ndarray((payload // 8,), "<u8", data, at + 8 + _EVENT).copy())
        at += 8 + ((length & ~_DISCARDED) + 7 & ~7)
    drained = Drained(with_appends(_joined(events)), words, (at - start) // _SLOT.itemsize)
    return drained, at - start


_NO_WORDS: Words = np.empty(0, dtype=np.uint64)


def _leading(yes: npt.NDArray[np.bool_]) -> int:
    """How many of the first are true without a gap."""
    return len(yes) if yes.all() else int(np.argmin(yes))


def _joined(pieces: list[Records]) -> Records:
    return pieces[0] if len(pieces) == 1 else np.concatenate([empty_records(), *pieces])


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

    def drain(self) -> Drained:
        """At most `CALLBACK_BATCH` records."""
        self._taken.clear()
        self._bpf.ring_buffer_consume()
        return parse_callbacks(self._taken)

    def close(self) -> None:
        """Nothing to release: the ring goes with its program."""
        self._taken.clear()


def parse_callbacks(taken: list[bytes]) -> Drained:
    """The records that bcc's reader hands over one by one."""
    heads, words = list[bytes](), list[Words]()
    firsts = np.frombuffer(b"".join(record[:_EVENT] for record in taken), dtype=RECORD)
    for record, kind in zip(taken, firsts["kind"].tolist(), strict=True):
        heads.append(record[:_EVENT])
        if kind == GATHERED:
            words.append(np.frombuffer(record, dtype="<u8", offset=_EVENT).copy())
        elif len(record) == _TWO_EVENTS:
            heads.append(record[-_EVENT:])
    events = np.frombuffer(b"".join(heads), dtype=RECORD).copy()
    size = sum(map(len, taken)) + 8 * len(taken)
    return Drained(with_appends(events), words, size // _SLOT.itemsize)
