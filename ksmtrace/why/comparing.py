"""Reads a process's pages twice, and finds what they are equal to in all mergeable memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ksmtrace.estimate.looking import Lister, Pace, Process, read_contents
from ksmtrace.estimate.pages import Bit, Mask, Pages, Words
from ksmtrace.estimate.targets import Target
from ksmtrace.events.kinds import Gauge
from ksmtrace.kernel.page_contents import PageHasher
from ksmtrace.kernel.sysfs import ROOT, read_counters
from ksmtrace.why.survey import Range

Bar = Callable[[str, int], AbstractContextManager[Callable[[float], None]]]


@dataclass(slots=True)
class Compared:
    """What was found.

    Attributes:
        processes: by the column `process`, the one that is asked about first.
        own: its pages.
        first_own, first_others: both as they were at the first look.
        others: mergeable pages elsewhere that are equal to one of its own, or the same KSM page.
        compared_pages: mergeable pages elsewhere that were read.
        passes: that ksmd ended between the looks.
        seconds: between the ends of the first and the last look.
        looks: that were taken.
        complete: all was read.
    """

    processes: list[Process]
    own: Pages
    others: Pages = field(default_factory=Pages.empty)
    first_own: Pages = field(default_factory=Pages.empty)
    first_others: Pages = field(default_factory=Pages.empty)
    compared_pages: int = 0
    passes: int = 0
    seconds: float = 0.0
    looks: int = 0
    complete: bool = True


class Comparison:
    """Looks at pages of a process, and at all other mergeable memory.

    Args:
        process: that is asked about.
        wanted: of which addresses; None for all.
        targets: the others.
        pace: how fast to read, and when to stop.
        bar: shows progress: of what, and of how much.
        root: where /proc is.
    """

    def __init__(
        self,
        process: Process,
        wanted: Range | None,
        targets: Sequence[Target],
        pace: Pace,
        bar: Bar,
        root: Path = ROOT,
    ) -> None:
        self._wanted = wanted
        self._pace, self._bar, self._root = pace, bar, root
        self._hasher = PageHasher()
        self._processes = [process, *map(Process, targets)]

    def look(self, pages: Pages, looks: int, every: float) -> Compared:
        """Look at the pages, `every` seconds from the end of one look to the next."""
        found = Compared(self._processes, pages)
        with self._bar("reading", len(pages)) as done:
            found.own = self._read(pages, done)
        found.looks = 1
        found.others, found.compared_pages = self._equal_ones(found.own)
        found.first_own, found.first_others = found.own, found.others
        began, passes = time.monotonic(), self._full_scans()
        for look in range(2, looks + 1):
            self._pace.sleep(every)
            if self._pace.stopped():
                break
            with self._bar(f"look {look} of {looks}", len(found.own)) as done:
                found.passes = self._full_scans() - passes
                found.own = self._read(found.own, done)
            found.others = self._read(found.others, lambda _: None)
            found.looks, found.seconds = look, time.monotonic() - began
        found.complete = not self._pace.stopped()
        return found

    def _read(self, pages: Pages, done: Callable[[float], None]) -> Pages:
        return read_contents(self._processes, pages, self._hasher, self._pace, done)

    def _equal_ones(self, own: Pages) -> tuple[Pages, int]:
        """Mergeable pages elsewhere with a content or a frame of `own`, and how many were read."""
        hashes = np.unique(own.hash[~own.has(Bit.UNREAD)])
        frames = np.unique(own.frame[own.frame != 0])
        parts, read = [], 0
        with self._bar("comparing with other processes", len(self._processes)) as done:
            for index, pages in self._mergeable():
                known = self._read(pages, lambda _: None)
                known = known[~known.has(Bit.UNREAD)]
                read += len(known)
                equal = _among(known.hash, hashes) | _among(known.frame, frames)
                parts.append(known[equal])
                done(index)
                if self._pace.stopped():
                    break
        return Pages.joined(parts), read

    def _mergeable(self) -> Iterator[tuple[int, Pages]]:
        """Pages of all processes, except those that are asked about."""
        lister = Lister(advised_only=True, root=self._root)
        for index, process in enumerate(self._processes):
            if index or self._wanted is not None:
                for piece in lister.list(index, process):
                    yield index, piece if index else piece[self._outside(piece)]

    def _outside(self, pages: Pages) -> Mask:
        assert self._wanted is not None, "of a whole process nothing is elsewhere"
        found: Mask = (pages.address < self._wanted.start) | (pages.address >= self._wanted.end)
        return found

    def _full_scans(self) -> int:
        return read_counters(self._root).get(Gauge.FULL_SCANS, 0)


def _among(values: Words, known: Words) -> Mask:
    """Which values are among those, which are sorted."""
    if not len(known):
        return np.zeros(len(values), dtype=np.bool_)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: Mask = known[at] == values
    return found
