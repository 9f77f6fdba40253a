"""Reads a vmlinux: build id, release, functions, and its DWARF without hundreds of megabytes."""

from __future__ import annotations

import io
import mmap
import os
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Self, cast

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection

from ksmtrace.errors import KsmtraceError

_DWARF_SECTIONS = (
    *("info", "aranges", "abbrev", "frame", "str", "loc", "ranges", "line", "addr"),
    *("str_offsets", "line_str", "loclists", "rnglists", "types"),
)
_UNUSED_SECTIONS = ("eh_frame", "debug_pubtypes", "debug_pubnames", "debug_sup", "gnu_debugaltlink")
_SYMBOL = struct.Struct("<IBBHQQ")
_STT_FUNC = 2
_BANNER_BYTES = 256

DAMAGE = (
    *(DWARFError, ELFError, ConstructError, struct.error, zlib.error),
    *(
        ArithmeticError,
        AssertionError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ),
)
"""What pyelftools and we raise when bytes in a file are not what they should be."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function by the symbol table.

    Attributes:
        name: as in kallsyms.
        start: its address.
        end: the address after its last byte.
        unique: no other function has this name; a kprobe names its function, so others cannot be
            probed.
        freed: it is gone once the kernel has booted.
    """

    name: str
    start: int
    end: int
    unique: bool
    freed: bool


class Vmlinux:
    """An open vmlinux; a context manager.

    Attributes:
        path: as given.
        build_id: GNU build id as hex.
        release: `uname -r` by linux_banner, else by a file name like vmlinux-6.1.0; "" if neither
            says it.
        dwarf: its DWARF; the file is read only where it is looked at.
        functions: its functions by their start.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file.

        Raises:
            KsmtraceError: there is no such file, or it is no vmlinux of x86-64 with debug info.
        """
        self.path = os.fspath(path)
        self._map = _map_file(self.path)
        try:
            self._elf = ELFFile(cast("IO[bytes]", self._map))
            self._check_machine()
            self._strings, self._symbols = self._read_symbols()
            self.release = self._read_release()
            self._check_debug_info()
            self.build_id = self._read_build_id()
            self.functions = list(self._read_functions())
            self.dwarf = self._open_dwarf()
        except BaseException as error:
            self.close()
            if isinstance(error, DAMAGE):
                raise damaged(self.path, error) from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._map.close()

    def address_of(self, name: str) -> int | None:
        """Address of the first symbol of that name, or None."""
        pattern = re.escape(name.encode()) + b"\0"
        wanted = {match.start() for match in re.finditer(pattern, self._strings)}
        return next((symbol[4] for symbol in self._symbols if symbol[0] in wanted), None)

    def function_at(self, address: int) -> Function | None:
        """The function that `address` lies in, or None."""
        return next((f for f in self.functions if f.start <= address < f.end), None)

    def _check_machine(self) -> None:
        machine = self._elf.get_machine_arch()
        if (machine, self._elf.elfclass, self._elf.little_endian) != ("x64", 64, True):
            raise KsmtraceError(f"{self.path}: made for {machine}; only x86-64 is known so far")

    def _read_symbols(self) -> tuple[bytes, list[tuple[int, int, int, int, int, int]]]:
        # pyelftools makes an object of each of 130 000 symbols, which takes seconds.
        table = self._elf.get_section_by_name(".symtab")
        if table is None:
            return b"", []
        strings = self._elf.get_section(table["sh_link"]).data()
        data = table.data()
        return strings, list(_SYMBOL.iter_unpack(data[: len(data) // _SYMBOL.size * _SYMBOL.size]))

    def _read_functions(self) -> Iterator[Function]:
        freed = {
            number
            for number, section in enumerate(self._elf.iter_sections())
            if section.name.startswith((".init", ".exit"))
        }
        found = [
            (value, size, self._strings[name : self._strings.find(b"\0", name)].decode(), section)
            for name, info, _, section, value, size in self._symbols
            if info & 15 == _STT_FUNC and size
        ]
        count = Counter(name for _, _, name, _ in found)
        for start, size, name, section in sorted(found):
            yield Function(name, start, start + size, count[name] == 1, section in freed)

    def _read_release(self) -> str:
        address = self.address_of("linux_banner") or 0
        for section in self._elf.iter_sections():
            offset = address - section["sh_addr"]
            if section["sh_type"] == "SHT_PROGBITS" and 0 <= offset < section["sh_size"]:
                at = section["sh_offset"] + offset
                banner = re.match(rb"Linux version (\S+)", self._map[at : at + _BANNER_BYTES])
                if banner:
                    return banner[1].decode(errors="replace")
        named = re.fullmatch(r"vmlinux-([0-9]+\.[0-9]+\S*?)(\.debug)?", Path(self.path).name)
        return named[1] if named else ""

    def _check_debug_info(self) -> None:
        info = self._elf.get_section_by_name(".debug_info")
        if info is None or info["sh_type"] == "SHT_NOBITS" or not self._symbols:
            raise KsmtraceError(
                f"{self.path}: no debug info in it; Debian has the vmlinux with debug info in the "
                f"package linux-image-{self.release or 'RELEASE'}-dbg"
            )

    def _read_build_id(self) -> str:
        for section in self._elf.iter_sections():
            if isinstance(section, NoteSection):
                for note in section.iter_notes():
                    if note["n_type"] == "NT_GNU_BUILD_ID" and note["n_name"] == "GNU":
                        return str(note["n_desc"])
        raise KsmtraceError(
            f"{self.path}: no GNU build id in it, so no kernel could be told to fit"
        )

    def _open_dwarf(self) -> DWARFInfo:
        # ELFFile.get_dwarf_info copies whole sections, and by default applies relocations that
        # vmlinux carries for kdump although they are applied already.
        sections = {
            f"debug_{name}_sec": self._open_section(f".debug_{name}") for name in _DWARF_SECTIONS
        }
        unused = dict.fromkeys(f"{name}_sec" for name in _UNUSED_SECTIONS)
        return DWARFInfo(DwarfConfig(True, "x64", 8), **sections, **unused)

    def _open_section(self, name: str) -> DebugSectionDescriptor | None:
        section = self._elf.get_section_by_name(name)
        if section is None:
            return None
        stream: BytesIO | _Window
        if section.compressed:
            stream, size = BytesIO(section.data()), section.data_size
        else:
            size = section["sh_size"]
            stream = _Window(self._map, section["sh_offset"], size)
        return DebugSectionDescriptor(
            cast("IO[bytes]", stream), name, section["sh_offset"], size, section["sh_addr"]
        )


def damaged(path: str, error: BaseException) -> KsmtraceError:
    """The error to raise for an exception of `DAMAGE`."""
    return KsmtraceError(
        f"{path}: damaged ELF file or debug info: {str(error) or type(error).__name__}"
    )


class _Window(io.RawIOBase):
    """A part of a mapped file as a stream that can be read and sought."""

    def __init__(self, mapped: mmap.mmap, start: int, size: int) -> None:
        super().__init__()
        self._mapped, self._start, self._size, self._at = mapped, start, size, 0

    def read(self, size: int = -1) -> bytes:
        end = self._size if size < 0 else min(self._size, self._at + size)
        data = self._mapped[self._start + self._at : self._start + end]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = (0, self._at, self._size)[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at


def _map_file(path: str) -> mmap.mmap:
    try:
        with open(path, "rb") as file:
            start = file.read(0x206)
            if not start.startswith(b"\x7fELF"):
                boot = (
                    " but a kernel as it is booted, without debug info"
                    if start[0x202:] == b"HdrS"
                    else ""
                )
                raise KsmtraceError(f"{path}: not an ELF file{boot}")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise KsmtraceError(f"{path}: {error.strerror}") from error
