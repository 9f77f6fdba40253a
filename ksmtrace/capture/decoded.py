"""How large the next record batch of an Arrow IPC stream is once decoded, before it is decoded.

Compressed zeros unfold to a hundred thousand times their size. The format is Arrow's "Encapsulated
message format" and Message.fbs: the head of a message tells where its buffers are, and each
compressed buffer begins with its size when decoded.
"""

from __future__ import annotations

import os
import struct

CONTINUATION = b"\xff\xff\xff\xff"
LONGEST_HEAD_BYTES = 1 << 24
MOST_BATCH_BYTES = 64 << 20
"""What a record batch may have in memory: sixteen times as many events as ksmtrace writes in
one."""
_RECORD_BATCH = 3
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_BUFFERS, _COMPRESSION = 2, 3
_AS_IT_IS = -1


def decoded_bytes(file: int, at: int) -> int:
    """Bytes that the buffers of the record batch at offset `at` have in memory; 0 at the end.

    Args:
        file: descriptor; its position stays.
        at: where the message begins.

    Raises:
        ValueError: there is no whole record batch.
        OSError: the file cannot be read.
    """
    head = _head(file, at)
    if not head:
        return 0
    message = _Table.root(head)
    if message.scalar(_HEADER_TYPE, "<B") != _RECORD_BATCH:
        raise ValueError("a message is no record batch")
    batch = message.table(_HEADER)
    body_length = message.scalar(_BODY_LENGTH, "<q")
    compressed = batch.has(_COMPRESSION)
    total = 0
    for offset, length in batch.pairs(_BUFFERS):
        if offset < 0 or length < 0 or offset + length > body_length:
            raise ValueError("a buffer is outside of its message")
        total += _decoded(file, at + 8 + len(head) + offset, length) if compressed else length
    return total


def _head(file: int, at: int) -> bytes:
    """What tells of a message, without its body; b"" at the end of the stream."""
    start = os.pread(file, 8, at)
    if not start:
        return b""
    if len(start) < 8 or start[:4] != CONTINUATION:
        raise ValueError("no message of an Arrow stream")
    size = int.from_bytes(start[4:], "little", signed=True)
    if not 0 <= size <= LONGEST_HEAD_BYTES:
        raise ValueError("the head of a message is too long")
    head = os.pread(file, size, at + 8)
    if len(head) < size:
        raise ValueError("the head of a message is cut")
    return head


def _decoded(file: int, at: int, length: int) -> int:
    """Size of a compressed buffer once decoded."""
    if not length:
        return 0
    written = os.pread(file, 8, at)
    decoded = int.from_bytes(written, "little", signed=True)
    if length < 8 or len(written) < 8 or decoded < _AS_IT_IS:
        raise ValueError("a buffer is cut, or has no size")
    return length - 8 if decoded == _AS_IT_IS else decoded


class _Table:
    """A table of FlatBuffers: fields by number, each at an offset that a second table tells.

    Raises:
        ValueError: what is asked for is outside of the text.
    """

    def __init__(self, text: bytes, at: int) -> None:
        self._text = text
        self._at = at
        self._fields = at - self._number(at, "<i")
        self._end = self._fields + self._number(self._fields, "<H")

    @classmethod
    def root(cls, text: bytes) -> _Table:
        """The outermost table of `text`."""
        if len(text) < 4:
            raise ValueError("a table is cut")
        return cls(text, int.from_bytes(text[:4], "little"))

    def has(self, field: int) -> bool:
        """Whether a field is there."""
        return self._place(field) is not None

    def scalar(self, field: int, form: str) -> int:
        """A number; 0 where the field is not there, as is the format's default."""
        place = self._place(field)
        return 0 if place is None else self._number(place, form)

    def table(self, field: int) -> _Table:
        """A table in this one."""
        return _Table(self._text, self._reference(field))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of structs of two 64-bit numbers."""
        at = self._reference(field)
        count = self._number(at, "<I")
        if at + 4 + 16 * count > len(self._text):
            raise ValueError("a vector is cut")
        return list(struct.iter_unpack("<qq", self._text[at + 4 : at + 4 + 16 * count]))

    def _reference(self, field: int) -> int:
        place = self._place(field)
        if place is None:
            raise ValueError("a field is missing")
        return place + self._number(place, "<I")

    def _place(self, field: int) -> int | None:
        entry = self._fields + 4 + 2 * field
        if entry + 2 > self._end:
            return None
        offset = self._number(entry, "<H")
        return self._at + offset if offset else None

    def _number(self, at: int, form: str) -> int:
        if not 0 <= at <= len(self._text) - struct.calcsize(form):
            raise ValueError("a field is outside of its message")
        found: int = struct.unpack_from(form, self._text, at)[0]
        return found
