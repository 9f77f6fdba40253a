"""Readers of the BPF ring: mapped into this process where that is safe, else bcc's callback.

The ring holds events of 64 bytes, two of them in one write, the second behind a length of its own
as if it were another write, and chunks, which are such a record as header (kind `GATHERED`) with
words of 64 bits behind it.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import struct
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ksmtrace.events.record import RECORD, Records, empty_records, joined, picked
from ksmtrace.sources.live.gathered.chunk import GATHERED, ChunkFlag, Words
from ksmtrace.sources.live.gathered.merged import with_appends
from ksmtrace.sources.live.program import Program

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_EVENT = RECORD.itemsize
_LENGTH = struct.Struct("<I")
_KIND_AT, _ITEMS_AT = 14, 16
"""Where the record has its kind, and a chunk's header how many items it has (`oldchecksum`)."""
_SLOT = np.dtype([("length", "<u4"), ("page", "<u4"), ("event", RECORD)])
_TWO_EVENTS = _EVENT + _SLOT.itemsize

MOST_RECORDS = 1 << 16
"""What is taken out of a ring at a time, unless less is asked for."""

_FIRST_LOOK, _LONGEST_LOOK = 64, 1 << 16
"""Slots that are looked at together, as long as all are events: doubled each time."""


class Drained(NamedTuple):
    """What was taken out of a ring.

    Attributes:
        events: in order; a chunk is its header.
        words: of each chunk among them, in order.
        slots: how many events would have taken as much of the ring.
        more: whether others were there, for which there was no room in what was asked for.
    """

    events: Records
    words: list[Words]
    slots: int
    more: bool = False

    @property
    def records(self) -> int:
        """How many events they tell of, at least: what BPF counts where they are lost.

        A chunk tells of its items; one of an inventory, of nothing that has happened.
        """
        chunks = self.events[self.events["kind"] == GATHERED]
        told = chunks[chunks["flags"] & ChunkFlag.INVENTORY == 0]
        items = np.maximum(told["oldchecksum"], 1).astype(np.int64).sum()
        return len(self.events) - len(chunks) + int(items)


NOTHING = Drained(empty_records(), [], 0)


class RingReader(Protocol):
    """Takes records out of a ring."""

    capacity: int
    """Events that the ring can hold."""

    def drain(self, most: int = MOST_RECORDS) -> Drained:
        """The first records that have arrived, in order; they are the caller's.

        A chunk counts as its items. The write that goes beyond `most` is the last.
        """
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

    def drain(self, most: int = MOST_RECORDS) -> Drained:
        """The first records between the consumer's position and the producer's."""
        position, end = int(self._consumer[0]), int(self._producer[0])
        if position == end:
            return NOTHING
        start = mmap.PAGESIZE + (position & self._mask)
        drained, taken = parse_ring(self._data_map, start, end - position, most)
        self._consumer[0] = position + taken
        return drained

    def close(self) -> None:
        """Unmap the ring."""
        del self._consumer, self._producer
        self._consumer_map.close()
        self._data_map.close()


def parse_ring(
    data: mmap.mmap | bytes | bytearray, start: int, size: int, most: int = MOST_RECORDS
) -> tuple[Drained, int]:
    """The records in `size` bytes of a ring's `data` from byte `start` on, and the bytes they take.

    They end before the first that is still being written, and with that which goes beyond `most`.
    """
    events: list[Records] = []
    words: list[Words] = []
    heads: list[bytes] = []
    at, end, look, room, written = start, start + size, _FIRST_LOOK, max(most, 1), True
    while at < end and room > 0:
        (length,) = _LENGTH.unpack_from(data, at)
        two = length == _TWO_EVENTS and data[at + 8 + _KIND_AT] != GATHERED
        if two or length & ~_DISCARDED == _EVENT:
            count = min((end - at) // _SLOT.itemsize, look, room)
            slots = np.ndarray((count,), _SLOT, data, at)
            twos = (slots["length"] == _TWO_EVENTS) & (slots["event"]["kind"] != GATHERED)
            plain = int(_leading(twos | (slots["length"] & ~np.uint32(_DISCARDED) == _EVENT)))
            look = min(look * 2 if plain == count else _FIRST_LOOK, _LONGEST_LOOK)
            plain += int(twos[plain - 1])  # both come together
            taken = np.ndarray((plain,), _SLOT, data, at)
            kept = taken["length"] & np.uint32(_DISCARDED) == 0
            events.append(_read_heads(heads))
            events.append(picked(taken["event"], None if kept.all() else kept))
            words += [_NO_WORDS] * int(np.count_nonzero(events[-1]["kind"] == GATHERED))
            at += plain * _SLOT.itemsize
            room -= plain
            continue
        if length & _BUSY:
            written = False
            break
        whole = length & ~_DISCARDED
        if not length & _DISCARDED and whole > _EVENT:
            payload = at + 8 + _EVENT
            heads.append(bytes(data[at + 8 : payload]))
            words.append(np.frombuffer(data[payload : payload + (whole - _EVENT & ~7)], "<u8"))
            room -= _LENGTH.unpack_from(data, at + 8 + _ITEMS_AT)[0]
        at += 8 + (whole + 7 & ~7)
        room -= 1
    events.append(_read_heads(heads))
    size, more = (at - start) // _SLOT.itemsize, written and at < end
    return Drained(with_appends(joined(events)), words, size, more), at - start


def _read_heads(heads: list[bytes]) -> Records:
    """The records whose bytes these are; the list is emptied."""
    found = picked(np.frombuffer(b"".join(heads), dtype=RECORD)) if heads else empty_records()
    heads.clear()
    return found


_NO_WORDS: Words = np.empty(0, dtype=np.uint64)


def _leading(yes: npt.NDArray[np.bool_]) -> int:
    """How many of the first are true without a gap."""
    return len(yes) if yes.all() else int(np.argmin(yes))


class CallbackRing:
    """The ring through bcc's own reader: slower, and right on every machine."""

    def __init__(self, program: Program, ring_bytes: int) -> None:
        self.capacity = ring_bytes // _SLOT.itemsize
        self._bpf = program.bpf
        self._taken: list[bytes] = []
        self._room = 0
        program.ring.open_ring_buffer(self._take)

    def _take(self, _context: object, data: int, size: int) -> int:
        """Keep a record; -1 ends bcc's loop, which goes on for as long as events arrive."""
        record = ctypes.string_at(data, size)
        self._taken.append(record)
        self._room -= 1
        if size == _TWO_EVENTS and record[_KIND_AT] != GATHERED:
            self._room -= 1
        elif size > _EVENT:
            self._room -= int(np.frombuffer(record, RECORD, 1)["oldchecksum"][0])
        return -1 if self._room <= 0 else 0

    def drain(self, most: int = MOST_RECORDS) -> Drained:
        """The first records; that there are more is known by the loop having been ended."""
        self._taken.clear()
        self._room = max(most, 1)
        self._bpf.ring_buffer_consume()
        return parse_callbacks(self._taken)._replace(more=self._room <= 0)

    def close(self) -> None:
        """Nothing to release: the ring goes with its program."""
        self._taken.clear()


def parse_callbacks(taken: list[bytes]) -> Drained:
    """The records that bcc's reader hands over one by one."""
    firsts = np.frombuffer(b"".join(record[:_EVENT] for record in taken), dtype=RECORD)
    heads, words = list[bytes](), list[Words]()
    for record, kind in zip(taken, firsts["kind"].tolist(), strict=True):
        heads.append(record[:_EVENT])
        if kind == GATHERED:
            words.append(np.frombuffer(record, dtype="<u8", offset=_EVENT).copy())
        elif len(record) == _TWO_EVENTS:
            heads.append(record[-_EVENT:])
    events = _read_heads(heads)
    size = sum(map(len, taken)) + 8 * len(taken)
    return Drained(with_appends(events), words, size // _SLOT.itemsize)
