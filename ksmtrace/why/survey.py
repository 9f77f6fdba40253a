"""What a process has at its addresses: mapping by mapping, and its present pages."""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.estimate.looking import Lister, Process
from ksmtrace.estimate.pages import Bit, Pages, Words
from ksmtrace.events.kinds import ProcessGauge
from ksmtrace.kernel.mappings import Mapping, read_mappings
from ksmtrace.kernel.page_table import (
    PRESENT,
    SWAPPED,
    Kpf,
    PageTable,
    anonymous,
    frame_flags,
)
from ksmtrace.kernel.processes import read_ksm_stat
from ksmtrace.kernel.sysfs import ROOT
from ksmtrace.why.reason import Reason

_PIECE = 1 << 16
"""Page table entries read at once."""
_MOST_ENTRIES = 1 << 30
"""Page table entries that are read at most."""
MOST_PAGES = 1 << 25
"""Present pages that are looked at at most: of each there are some 60 bytes."""

_REFUSALS = {"shared": Reason.SHARED, "hugetlb": Reason.HUGETLB, "special": Reason.SPECIAL}


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses from `start` to before `end`."""

    start: int
    end: int


@dataclass(slots=True)
class Area:
    """A mapping of the process, or the part of it that is in the range.

    Attributes:
        mapping: with the bounds of that part.
        reason: what holds for all of its pages; None where it is a question of each.
        pages: how many addresses of pages it has.
        present: how many of them have a page.
        first, end: places of its anonymous pages among those of the process.
        other_addresses, other_reasons: of present or swapped pages that are none of those, shape
            (k,): only where `reason` is None.
    """

    mapping: Mapping
    reason: Reason | None
    pages: int
    present: int = 0
    first: int = 0
    end: int = 0
    other_addresses: Words = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    other_reasons: npt.NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, dtype=np.int8))


def survey(
    lister: Lister, process: Process, wanted: Range | None, root: Path = ROOT
) -> tuple[list[Area], Pages]:
    """The areas of a process by address, and its anonymous pages, to be read.

    Args:
        lister: of pages; takes all of them.
        process: whose.
        wanted: the range; None for all.
        root: where /proc is.

    Raises:
        KsmtraceError: nothing is mapped in the range, there is too much to look at, or the process
            has ended.
        HostError: it may not be read.
    """
    pid = process.target.pid
    try:
        mappings = read_mappings(pid, root)
    except OSError as error:
        raise unreadable(pid, error) from error
    areas = [
        _area(replace(one, start=start, end=end))
        for one in mappings
        if (start := max(one.start, wanted.start if wanted else 0))
        < (end := min(one.end, wanted.end if wanted else one.end))
    ]
    if not areas:
        if wanted is None or not mappings:
            raise ended(pid)
        raise KsmtraceError(
            f"process {pid} maps nothing from {wanted.start:#x} to {wanted.end:#x}: "
            f"/proc/{pid}/maps lists what it maps"
        )
    merging = read_ksm_stat(pid, root).get(ProcessGauge.KSM_MERGING_PAGES, 1) != 0
    with _table(pid, root) as table:
        walk = _Walk(lister, process, table, root, merging=merging)
        for area in areas:
            walk.take(area)
    return areas, Pages.joined(walk.parts)


def ended(pid: int) -> KsmtraceError:
    """The error that a process has ended."""
    return KsmtraceError(f"process {pid} ended while it was looked at: name one that runs")


def unreadable(pid: int, error: OSError) -> KsmtraceError:
    """The error that a process cannot be read: it has ended, or may not be."""
    if error.errno in (errno.ESRCH, errno.ENOENT):
        return ended(pid)
    return HostError(
        f"process {pid} may not be read ({error.strerror or os.strerror(errno.EACCES)}): reading "
        "memory of others needs CAP_SYS_PTRACE: run as root"
    )


def _table(pid: int, root: Path) -> PageTable:
    try:
        return PageTable(pid, root)
    except OSError as error:
        raise unreadable(pid, error) from error


def _area(mapping: Mapping) -> Area:
    pages = (mapping.end - mapping.start) // mmap.PAGESIZE
    if mapping.refused is not None:
        return Area(mapping, _REFUSALS[mapping.refused[0]], pages)
    return Area(mapping, None if mapping.mergeable else Reason.NOT_ADVISED, pages)


class _Walk:
    """Reads page table entries of areas, one after another."""

    def __init__(
        self, lister: Lister, process: Process, table: PageTable, root: Path, *, merging: bool
    ) -> None:
        self._lister, self._process, self._table = lister, process, table
        self._merging = merging
        self._root = root
        self._left, self._count = _MOST_ENTRIES, 0
        self.parts: list[Pages] = []

    def take(self, area: Area) -> None:
        """Fill in what an area has.

        Before 6.7 nothing tells where in a mapping its pages are: of one that is too large to read
        whole reading ends when as many were found as smaps has.
        """
        area.first = self._count
        sought = area.mapping.present_pages + area.mapping.swapped_pages
        others: list[tuple[Words, npt.NDArray[np.int8]]] = []
        for first, count in self._stretches(area.mapping):
            if area.pages > _MOST_ENTRIES and sought <= 0:
                break
            entries = self._table.entries(first, count)
            sought -= int(np.count_nonzero(entries))
            if area.mapping.refused is not None:
                area.present += int(np.count_nonzero(entries & PRESENT))
                continue
            found = self._piece(area.mapping, first, entries)
            area.present += int(np.count_nonzero(entries & PRESENT))
            if area.reason is None:
                others.append(_others(first, entries, found))
            self._keep(found)
        area.end = self._count
        if others:
            area.other_addresses = np.concatenate([one for one, _ in others])
            area.other_reasons = np.concatenate([one for _, one in others])

    def _stretches(self, mapping: Mapping) -> Iterator[tuple[int, int]]:
        for span in self._table.held_spans(mapping):
            for first in range(span.start, span.end, _PIECE * mmap.PAGESIZE):
                count = min(_PIECE, (span.end - first) // mmap.PAGESIZE)
                self._left -= count
                if self._left < 0:
                    raise self._too_much("addresses")
                yield first, count

    def _piece(self, mapping: Mapping, first: int, entries: Words) -> Pages:
        """The anonymous pages, less those that are a huge zero page."""
        found = self._lister.piece(0, self._process, mapping, first, entries, self._merging)
        asked = np.flatnonzero(found.has(Bit.FORKED))
        if not len(asked) or not self._lister.frames.shown:
            return found
        flags = frame_flags(found.frame[asked], self._root)
        zero = np.zeros(len(found), dtype=np.bool_)
        zero[asked] = (flags & np.uint64(Kpf.ZERO_PAGE)) != 0
        return found[~zero]

    def _keep(self, found: Pages) -> None:
        self._count += len(found)
        if self._count > MOST_PAGES:
            raise self._too_much("pages")
        if len(found):
            self.parts.append(found)

    def _too_much(self, what: str) -> KsmtraceError:
        return KsmtraceError(
            f"process {self._process.target.pid} has more {what} than are looked at at once: name "
            f"a range, as in /proc/{self._process.target.pid}/maps"
        )


def _others(first: int, entries: Words, found: Pages) -> tuple[Words, npt.NDArray[np.int8]]:
    """Addresses of what is present or in swap and none of `found`, and why each does not merge."""
    reasons = np.full(len(entries), -1, dtype=np.int8)
    reasons[(entries & SWAPPED) != 0] = Reason.SWAPPED
    reasons[(entries & PRESENT) != 0] = Reason.FILE
    reasons[anonymous(entries)] = Reason.ZERO_PAGE
    reasons[(found.address - np.uint64(first)).astype(np.int64) // mmap.PAGESIZE] = -1
    at = np.flatnonzero(reasons >= 0)
    address = np.uint64(first) + at.astype(np.uint64) * np.uint64(mmap.PAGESIZE)
    return address, reasons[at]
