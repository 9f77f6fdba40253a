"""Looks at the memory of processes: which pages are there, and what they hold, once and again."""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Bit, Pages, Places, Words, byte
from ksmtrace.estimate.targets import Target
from ksmtrace.events.kinds import ProcessGauge
from ksmtrace.kernel.mappings import Mapping, read_mappings
from ksmtrace.kernel.page_contents import (
    PIECE_PAGES,
    PageHasher,
    PageReader,
    present_contents,
)
from ksmtrace.kernel.page_table import (
    EXCLUSIVE,
    SWAPPED,
    Kpf,
    PageTable,
    anonymous,
    frame_flags,
    frames,
)
from ksmtrace.kernel.pagemap import ksm_page_file
from ksmtrace.kernel.processes import read_ksm_stat, read_start
from ksmtrace.kernel.sysfs import ROOT


@dataclass(slots=True)
class Process:
    """What was found of a process.

    Attributes:
        present: anonymous pages that are there and could be merged, looked at or not.
        huge, advised: so many of them are parts of huge pages, are mergeable now.
        swapped: pages that are in swap, which nobody can look at without bringing them back.
        zero_page: places at which the zero page is mapped.
        placed: so many of these places KSM has made (ksm_zero_pages, 6.6).
        refused: pages of mappings that cannot be made mergeable, by why.
        unread: "" or why nothing was read.
    """

    target: Target
    present: int = 0
    huge: int = 0
    advised: int = 0
    swapped: int = 0
    zero_page: int = 0
    placed: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    unread: str = ""


class Pace:
    """Reads no more bytes in a second than asked for, and stops when told to.

    Args:
        bytes_per_second: the limit, or None.
        stop: says whether to stop.
    """

    def __init__(
        self, bytes_per_second: float | None = None, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self._rate = bytes_per_second
        self._stop = stop
        self._next = time.monotonic()
        self._until: float | None = None

    def limit(self, seconds: float | None) -> None:
        """Stop so many seconds from now; None for no such limit."""
        self._until = None if seconds is None else time.monotonic() + seconds

    def stopped(self) -> bool:
        """Whether to stop."""
        return self._stop() or (self._until is not None and time.monotonic() > self._until)

    def spend(self, count: int) -> None:
        """Wait until so many bytes more may be read."""
        if self._rate is None:
            return
        self._next = max(self._next, time.monotonic()) + count / self._rate
        self.sleep(self._next - time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Sleep so long, or until it is to stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.stopped():
            time.sleep(min(left, 0.2))


class Frames:
    """What this process may learn of frames.

    Attributes:
        shown: pagemap has their numbers.
        told: /proc/kpageflags tells which are KSM pages.
        zero: the number of the zero page's.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.zero = 0
        self.told = False
        try:
            self.told = ksm_page_file(root) == "kpageflags"
        except OSError:
            self.shown = False
            return
        self.shown = True
        with mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as own:
            view = np.frombuffer(own, dtype=np.uint8)
            view[0].item()  # a read of an untouched page maps the zero page
            with PageTable(os.getpid(), root) as table:
                self.zero = int(frames(table.entries(view.ctypes.data, 1))[0])
            del view


class Lister:
    """Lists the pages of processes, all or a share of them.

    Attributes:
        key: by which frames are drawn.
        frames: what may be learned of frames.

    Args:
        share: of all frames that are taken, 1.0 for all; by their number, so that all that map one
            frame are taken or none.
        advised_only: only pages of mappings that are mergeable now.
        key: by which frames are drawn.
    """

    def __init__(
        self,
        share: float = 1.0,
        *,
        advised_only: bool = False,
        key: int = 0,
        root: Path = ROOT,
    ) -> None:
        self._share = share
        self._advised_only = advised_only
        self.key = np.uint64(key)
        self._root = root
        self._random = np.random.default_rng(key)
        self.frames = Frames(root)

    def list(self, index: int, process: Process) -> Iterator[Pages]:
        """The pages of a process, in pieces by address; counts all of them in `process`.

        Args:
            index: its place, for the column `process`.
            process: whose pages, and where they are counted.
        """
        pid = process.target.pid
        try:
            mappings = read_mappings(pid, self._root)
            table = PageTable(pid, self._root)
        except OSError as error:
            if error.errno not in (errno.ESRCH, errno.ENOENT):
                process.unread = error.strerror or str(error)
            return
        stat = read_ksm_stat(pid, self._root)
        merging = stat.get(ProcessGauge.KSM_MERGING_PAGES, 1) != 0
        process.placed = stat.get(ProcessGauge.KSM_ZERO_PAGES, 0)
        with table:
            for mapping in mappings:
                if mapping.refused is not None:
                    kind = mapping.refused[0]
                    process.refused[kind] = process.refused.get(kind, 0) + mapping.present_pages
                    continue
                if self._advised_only and not mapping.mergeable:
                    continue
                process.huge += mapping.huge_pages
                for first, entries in table.pieces(mapping):
                    piece = self.piece(index, process, mapping, first, entries, merging)
                    if len(piece):
                        yield piece

    def piece(
        self,
        index: int,
        process: Process,
        mapping: Mapping,
        first: int,
        entries: Words,
        merging: bool,
    ) -> Pages:
        """The anonymous pages among page table entries; counts them in `process`.

        Args:
            index: for the column `process`.
            process: whose.
            mapping: in which they are.
            first: address of the first entry.
            entries: as `PageTable.entries` has them.
            merging: whether the process may have KSM pages.
        """
        process.swapped += int(np.count_nonzero(entries & SWAPPED))
        at = np.flatnonzero(anonymous(entries))
        entries = entries[at]
        pfn = frames(entries)
        if self.frames.zero:
            other = pfn != self.frames.zero
            process.zero_page += len(at) - int(np.count_nonzero(other))
            at, entries, pfn = at[other], entries[other], pfn[other]
        process.present += len(at)
        process.advised += len(at) if mapping.mergeable else 0
        chosen = self._chosen(pfn)
        at, entries, pfn = at[chosen], entries[chosen], pfn[chosen]
        bits = np.full(len(at), Bit.ADVISED if mapping.mergeable else 0, dtype=np.uint8)
        shared = (entries & EXCLUSIVE) == 0
        if self.frames.shown and (mapping.huge_pages or merging):
            flags = frame_flags(pfn, self._root)
            if mapping.huge_pages:
                bits[(flags & np.uint64(Kpf.THP)) != 0] |= byte(Bit.HUGE)
            if merging:
                is_ksm = (flags & np.uint64(Kpf.KSM)) != 0
                bits[is_ksm if self.frames.told else is_ksm & shared] |= byte(Bit.MERGED)
        bits[shared & ((bits & Bit.MERGED) == 0)] |= byte(Bit.FORKED)
        address = np.uint64(first) + at.astype(np.uint64) * np.uint64(mmap.PAGESIZE)
        return Pages(
            np.full(len(at), index, dtype=np.int32),
            address,
            pfn,
            np.zeros(len(at), dtype=np.uint64),
            bits | byte(Bit.UNREAD),
        )

    def _chosen(self, pfn: Words) -> npt.NDArray[np.bool_] | slice:
        if self._share >= 1.0:
            return slice(None)
        if not self.frames.shown:
            return self._random.random(len(pfn)) < self._share
        return drawn(pfn, self.key) < self._share


def drawn(pfn: Words, key: np.uint64) -> npt.NDArray[np.float64]:
    """For each frame a number that looks drawn at random from [0, 1), shape (n,).

    The finalizer of splitmix64 (Steele, Lea and Flood, 2014).
    """
    mixed = pfn + key
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed = (mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)
    return mixed.astype(np.float64) * 2.0**-53


def read_contents(
    processes: Sequence[Process],
    pages: Pages,
    hasher: PageHasher,
    pace: Pace,
    done: Callable[[int], None] = lambda _: None,
) -> Pages:
    """The pages with what they hold now: `hash`, and the bits ZERO, CHANGED and UNREAD.

    A page is CHANGED where it was read before and has another hash, and remains so. Which are still
    to be read when `pace` is stopped keep what they have.

    Args:
        processes: by the column `process`.
        pages: sorted by process.
        hasher: the same at every look.
        pace: how fast.
        done: told how many pages were read so far.
    """
    found = replace(pages, hash=pages.hash.copy(), bits=pages.bits.copy())
    cuts = np.flatnonzero(np.diff(pages.process)) + 1
    for part in np.split(np.arange(len(pages)), cuts):
        if pace.stopped():
            break
        if len(part):
            process = processes[pages.process[part[0]]]
            mine = slice(int(part[0]), int(part[-1]) + 1)
            try:
                _read_process(process, found, mine, hasher, pace, done)
            except OSError as error:
                if error.errno not in (errno.ESRCH, errno.ENOENT):
                    process.unread = error.strerror or str(error)
                found.bits[mine] |= byte(Bit.UNREAD)
    return found


def _read_process(
    process: Process,
    pages: Pages,
    mine: slice,
    hasher: PageHasher,
    pace: Pace,
    done: Callable[[int], None],
) -> None:
    """Read the pages of one process."""
    pid = process.target.pid
    with PageTable(pid) as table, PageReader(pid) as reader:
        for start in range(mine.start, mine.stop, PIECE_PAGES):
            here = slice(start, min(start + PIECE_PAGES, mine.stop))
            if pace.stopped():
                return
            address = pages.address[here]
            pace.spend(len(address) * mmap.PAGESIZE)
            unread = np.ones(len(address), dtype=np.bool_)
            merged = (pages.bits[here] & byte(Bit.MERGED)) != 0
            for read, content in present_contents(table, reader, address, merged):
                _take(pages, start + read, hasher.hashes(content), hasher.zero)
                unread[read] = False
            pages.bits[here][unread] |= byte(Bit.UNREAD)
            done(here.stop)
    if read_start(pid) != process.target.start:
        pages.bits[mine] |= byte(Bit.UNREAD)  # another process has its pid


def _take(pages: Pages, here: Places, hashes: Words, zero: int) -> None:
    bits = pages.bits[here]
    changed = ((bits & Bit.UNREAD) == 0) & (pages.hash[here] != hashes)
    bits &= ~byte(Bit.UNREAD | Bit.ZERO)
    bits[changed] |= byte(Bit.CHANGED)
    bits[hashes == zero] |= byte(Bit.ZERO)
    pages.bits[here] = bits
    pages.hash[here] = hashes
