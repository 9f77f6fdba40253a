"""The mappings of a process, and which of them ksmd may look into: /proc/<pid>/smaps."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ksmtrace.kernel.files import NOT_AS_KNOWN, UNREAD, load_bytes
from ksmtrace.kernel.sysfs import ROOT

_LINE = re.compile(rb"[0-9a-f]+-[0-9a-f]+ ")
_HIGHEST = 1 << 63
"""pagemap's offsets are signed."""

REFUSED = MappingProxyType(
    {
        "sh": ("shared", "VM_SHARED"),
        "ms": ("shared", "VM_MAYSHARE"),
        "ht": ("hugetlb", "VM_HUGETLB"),
        "pf": ("special", "VM_PFNMAP"),
        "io": ("special", "VM_IO"),
        "de": ("special", "VM_DONTEXPAND"),
        "mm": ("special", "VM_MIXEDMAP"),
        "dp": ("special", "VM_DROPPABLE"),
    }
)
"""Flags of a mapping, as smaps writes them, with which it cannot be mergeable, in the order in
which we name one: what it is, and the kernel's name (vma_ksm_compatible of mm/ksm.c, 6.6;
ksm_madvise before). The mappings of DAX cannot either, which smaps does not show."""

_MERGEABLE = "mg"


@dataclass(frozen=True, slots=True)
class Mapping:
    """A range of a process's addresses (struct vm_area_struct).

    Attributes:
        start, end: its first address, and the one behind the last.
        permissions: as "rw-p".
        inode: of the file that it maps; 0 for none.
        name: the file, or as "[heap]"; "" for none; bytes that are no UTF-8 are U+FFFD.
        present_pages: at most so many are present (Rss).
        huge_pages: so many of them are parts of huge pages (AnonHugePages).
        swapped_pages: so many are in swap (Swap).
        flags: of VmFlags, two letters each (proc(5)).
    """

    start: int
    end: int
    permissions: str
    inode: int
    name: str
    present_pages: int = 0
    huge_pages: int = 0
    swapped_pages: int = 0
    flags: frozenset[str] = frozenset()

    @property
    def mergeable(self) -> bool:
        """Whether it was declared mergeable (VM_MERGEABLE)."""
        return _MERGEABLE in self.flags

    @property
    def refused(self) -> tuple[str, str] | None:
        """Why the kernel does not let it be mergeable: a value of `REFUSED`; None where it does."""
        return next((REFUSED[flag] for flag in REFUSED if flag in self.flags), None)


def read_mappings(pid: int, root: Path = ROOT) -> list[Mapping]:
    """The mappings of a process, by address; none of one that has gone, or of a kernel thread.

    Raises:
        UnreadError: they may not be read.
    """
    path = root / f"proc/{pid}/smaps"
    return list(parse_smaps(load_bytes(path) or b"", path))


def parse_smaps(listing: bytes, path: Path) -> Iterator[Mapping]:
    """The mappings that the text of smaps lists.

    A line that is not as known costs its mapping, and is noted in `UNREAD`.
    """
    head: list[bytes] = []
    counts = {b"Rss:": 0, b"AnonHugePages:": 0, b"Swap:": 0}
    flags: frozenset[str] = frozenset()
    for line in listing.split(b"\n"):
        if _LINE.match(line):
            yield from _mapping(head, counts, flags, path)
            head, flags = line.split(maxsplit=5), frozenset()
            counts = dict.fromkeys(counts, 0)
            continue
        name, *values = line.split(maxsplit=2) or [b""]
        if name in counts and values and values[0].isdigit():
            counts[name] = int(values[0][:18]) * 1024 // mmap.PAGESIZE
        elif name == b"VmFlags:":
            flags = frozenset(line.decode("ascii", "replace").split()[1:])
    yield from _mapping(head, counts, flags, path)


def _mapping(
    head: list[bytes], counts: dict[bytes, int], flags: frozenset[str], path: Path
) -> Iterator[Mapping]:
    if not head:
        return
    first, _, last = head[0].partition(b"-")
    try:
        start, end = int(first, 16), int(last, 16)
        permissions, inode = head[1].decode("ascii"), int(head[4])
    except (ValueError, IndexError):
        UNREAD.note(path, NOT_AS_KNOWN)
        return
    if end > _HIGHEST:
        return  # [vsyscall]: no page of a process
    if not start < end or start % mmap.PAGESIZE or end % mmap.PAGESIZE or len(permissions) != 4:
        UNREAD.note(path, NOT_AS_KNOWN)
        return
    name = head[5].decode("utf-8", "replace") if len(head) > 5 else ""
    present, huge, swapped = counts.values()
    yield Mapping(start, end, permissions, inode, name, present, huge, swapped, flags)
