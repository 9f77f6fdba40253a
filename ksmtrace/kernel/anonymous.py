"""The private mappings of a process that hold pages, which are far fewer than its address space.

A process may reserve terabytes and touch none of them. PAGEMAP_SCAN (6.7) lists the pages that are
present, at the cost of the page tables that exist; before, the sum in /proc/<pid>/smaps tells of
which mappings nothing is present.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ksmtrace.kernel.files import UNREAD, read_bytes

_FILE, _PRESENT, _SWAPPED, _HUGE = 1 << 2, 1 << 3, 1 << 4, 1 << 6
"""PAGE_IS_* of linux/fs.h."""
_REGIONS = 4096
_MAPPING = re.compile(rb"[0-9a-f]+-[0-9a-f]+ ")

_NEAR_BYTES = 512 * mmap.PAGESIZE
"""Spans of a mapping nearer to each other are one: reading the entries between takes less than
another call."""


class Span(NamedTuple):
    """Part of an address space.

    Attributes:
        start, end: its first address, and the one behind the last.
        most_present: so many pages are present in it at most.
    """

    start: int
    end: int
    most_present: int


class _ScanArguments(ctypes.Structure):
    """struct pm_scan_arg of linux/fs.h."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("size", "flags", "start", "end", "walk_end", "vec", "vec_len", "max_pages"),
            *("category_inverted", "category_mask", "category_anyof_mask", "return_mask"),
        )
    )


class _Region(ctypes.Structure):
    """struct page_region of linux/fs.h."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("start", "end", "categories"))


_PAGEMAP_SCAN = 3 << 30 | ctypes.sizeof(_ScanArguments) << 16 | ord("f") << 8 | 16


def present_spans(root: Path, pid: int, pagemap: int) -> Iterator[Span]:
    """Spans with the present pages of private mappings without a file, by address.

    Before 6.7 they are whole mappings, and hold pages that are not present.

    Args:
        root: where /proc is.
        pid: whose.
        pagemap: descriptor of its pagemap, open for reading.
    """
    mappings = private_mappings(read_bytes(root / f"proc/{pid}/maps") or b"")
    if not mappings:
        return
    try:
        for mapping in mappings:
            yield from _joined(_scan(pagemap, mapping))
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL):
            UNREAD.note(root / f"proc/{pid}/pagemap", error.errno or errno.EIO)
            return
        smaps = read_bytes(root / f"proc/{pid}/smaps") or b""
        yield from (span for span in private_mappings(smaps) if span.most_present)


def anonymous_spans(pagemap: int, start: int, end: int) -> Iterator[Span]:
    """Spans of `start` to `end` with present anonymous pages, by address, huge ones among them.

    The zero page is one of them. Spans near to each other are one, and hold other pages then.

    Args:
        pagemap: descriptor of the process's pagemap, open for reading.
        start: address of a page.
        end: address of a page.

    Raises:
        OSError: ENOTTY before 6.7, which has no PAGEMAP_SCAN; the entries cannot be read.
    """
    yield from _joined(_scan(pagemap, _pages_of(start, end), _FILE))


def held_spans(pagemap: int, start: int, end: int) -> Iterator[Span]:
    """Spans of `start` to `end` with pages that are present, of whatever kind, or in swap.

    Arguments and errors as of `anonymous_spans`.
    """
    yield from _joined(_scan(pagemap, _pages_of(start, end), 0, _PRESENT | _SWAPPED))


def private_mappings(listing: bytes) -> list[Span]:
    """The private mappings without a file: KSM merges no others.

    Args:
        listing: the text of maps, or of smaps, which says how much is present; names of files in it
            may be any bytes.
    """
    found: list[Span] = []
    inside = False
    for line in listing.split(b"\n"):
        fields = line.split(maxsplit=5)
        if _MAPPING.match(line):
            span = _span(fields)
            inside = span is not None
            found += [span] if span is not None else []
        elif inside and len(fields) == 3 and fields[0] == b"Rss:" and fields[1].isdigit():
            kibibytes = int(fields[1][:18])
            found[-1] = found[-1]._replace(most_present=kibibytes * 1024 // mmap.PAGESIZE)
    return found


def _span(fields: list[bytes]) -> Span | None:
    """The span of a mapping's line that ksmd may look into."""
    if len(fields) < 5 or len(fields[1]) != 4 or fields[1][3:] != b"p" or fields[4] != b"0":
        return None
    # [vdso], [vvar…], [vsyscall], [uprobes] are the kernel's own pages, the same in every process
    if len(fields) > 5 and fields[5].startswith((b"[v", b"[uprobes")):
        return None
    first, _, last = fields[0].partition(b"-")
    try:
        start, end = int(first, 16), int(last, 16)
    except ValueError:
        return None
    # pagemap's offsets are signed
    if not start < end <= 1 << 63 or start % mmap.PAGESIZE or end % mmap.PAGESIZE:
        return None
    return _pages_of(start, end)


def _scan(
    pagemap: int, mapping: Span, excluded: int = _FILE | _HUGE, any_of: int = _PRESENT
) -> Iterator[Span]:
    regions = (_Region * _REGIONS)()
    at = mapping.start
    while at < mapping.end:
        arguments = _ScanArguments(
            size=ctypes.sizeof(_ScanArguments),
            start=at,
            end=mapping.end,
            vec=ctypes.addressof(regions),
            vec_len=_REGIONS,
            category_inverted=excluded,
            category_mask=excluded,
            category_anyof_mask=any_of,
            return_mask=any_of,
        )
        try:
            count = fcntl.ioctl(pagemap, _PAGEMAP_SCAN, arguments)
        except OSError as error:
            if error.errno in (errno.ESRCH, errno.EFAULT):
                return  # the process has gone meanwhile
            raise
        for region in regions[:count]:
            yield _pages_of(region.start, region.end)
        if arguments.walk_end <= at:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        at = arguments.walk_end


def _joined(spans: Iterator[Span]) -> Iterator[Span]:
    """Spans of one mapping that are near to each other as one."""
    held: Span | None = None
    for span in spans:
        if held is not None and span.start - held.end <= _NEAR_BYTES:
            held = _pages_of(held.start, span.end)
        else:
            if held is not None:
                yield held
            held = span
    if held is not None:
        yield held


def _pages_of(start: int, end: int) -> Span:
    """All of it may be present: also huge pages between spans that are joined."""
    return Span(start, end, (end - start) // mmap.PAGESIZE)
