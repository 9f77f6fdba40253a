"""Finds the canonical frame address at a place of the code, from call frame information."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO

from elftools.dwarf.callframe import FDE, CallFrameInfo
from elftools.dwarf.dwarfinfo import DWARFInfo

from ksmtrace.probemap.expressions import Address

_CIE_ID = 0xFFFFFFFF


class Frames:
    """The .debug_frame of a vmlinux (its unwinder reads ORC, so there is no .eh_frame)."""

    def __init__(self, dwarf: DWARFInfo) -> None:
        self._dwarf = dwarf
        section = dwarf.debug_frame_sec
        self._data = b""
        if section is not None:
            section.stream.seek(0)
            self._data = section.stream.read(section.size)

    def cfa_at(self, pc: int) -> Address | None:
        """The canonical frame address at `pc`; None if it is no register plus an offset."""
        entry = next(
            (at for at, start, size in self._entries() if start <= pc < start + size), None
        )
        if entry is None:
            return None
        rows = [row for row in self._decode(entry).get_decoded().table if row["pc"] <= pc]
        if not rows:
            return None
        rule = rows[-1]["cfa"]
        return Address(rule.reg, rule.offset) if rule.reg is not None else None

    def _entries(self) -> Iterator[tuple[int, int, int]]:
        """Offset, first address and size of what each frame description is about."""
        at = 0
        while at + 24 <= len(self._data):
            length, cie = struct.unpack_from("<II", self._data, at)
            if cie != _CIE_ID and length >= 20:
                yield (at, *struct.unpack_from("<QQ", self._data, at + 8))
            at += length + 4

    def _decode(self, at: int) -> FDE:
        # pyelftools decodes a section at a time, which takes seconds: it is given one that has
        # two entries.
        length, cie_at = struct.unpack_from("<II", self._data, at)
        (cie_length,) = struct.unpack_from("<I", self._data, cie_at)
        cie = self._data[cie_at : cie_at + 4 + cie_length]
        description = struct.pack("<II", length, 0) + self._data[at + 8 : at + 4 + length]
        both = cie + description
        entry = CallFrameInfo(BytesIO(both), len(both), 0, self._dwarf.structs).get_entries()[1]
        assert isinstance(entry, FDE)
        return entry
