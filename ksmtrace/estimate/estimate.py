"""An estimate: looks at the memory of processes, and what is foretold of what they show."""

from __future__ import annotations

import mmap
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import numpy as np

from ksmtrace.errors import HostError
from ksmtrace.estimate.forecast import Forecast, Host, foretell
from ksmtrace.estimate.looking import Lister, Pace, Process, drawn, read_contents
from ksmtrace.estimate.pages import Bit, Pages
from ksmtrace.estimate.rows import Row, rows_of
from ksmtrace.estimate.settled import Rules
from ksmtrace.estimate.targets import Target
from ksmtrace.kernel.files import number, read_lines
from ksmtrace.kernel.page_contents import PageHasher
from ksmtrace.kernel.sysfs import ROOT

MOST_PAGES = 8 << 20
"""Pages that are looked at, at most: of more there is a sample. Their columns take some 60 bytes
each while they are compared."""
_PLANNED = 0.7
"""Of a budget: listing the pages takes some of it, and reading may be slower than is allowed."""
_ROUNDS = 8
"""Parts in which a sample is read, each a smaller sample: what was read when it was cut short is
one as well."""

Bar = Callable[[str, int], AbstractContextManager[Callable[[float], None]]]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to look.

    Attributes:
        looks: 1 or more; with one alone, nothing is known to change.
        every: seconds from the end of one look to the beginning of the next.
        budget: seconds that reading may take in all; None for as long as it takes.
        bytes_per_second: read at most so fast; None for as fast as it goes.
        advised_only: only mergeable memory.
    """

    looks: int = 2
    every: float = 5.0
    budget: float | None = None
    bytes_per_second: float | None = None
    advised_only: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """What was found.

    Attributes:
        share: of the frames that were read; 1.0 for all.
        complete: every look was taken to its end.
        looks: that were.
        seconds: between the first look's end and the last one's.
        rows: of each process.
        forecasts: of what is mergeable now, and of all that could be, with use_zero_pages as it is
            and as it is not; by these two.
    """

    share: float
    complete: bool
    looks: int
    seconds: float
    rows: Sequence[Row]
    forecasts: dict[tuple[str, bool], Forecast]


ADVISED, ALL = "advised", "all"


def estimate(
    targets: Sequence[Target],
    wishes: Wishes,
    host: Host,
    stop: Callable[[], bool],
    bar: Bar,
    root: Path = ROOT,
) -> Estimate:
    """Look, look again, and foretell.

    Args:
        targets: whose memory.
        wishes: how.
        host: what the forecast depends on.
        stop: says whether to end with what there is.
        bar: shows progress: of what, and of how many pages.
        root: where /proc is.

    Raises:
        HostError: no process may be read.
    """
    share = _share(targets, wishes, root)
    pace = Pace(wishes.bytes_per_second, stop)
    lister = Lister(share, advised_only=wishes.advised_only, key=secrets.randbits(63), root=root)
    processes = [Process(target) for target in targets]
    parts = []
    for index, process in enumerate(processes):
        if pace.stopped():
            break
        parts += list(lister.list(index, process))
    pages = Pages.joined(parts)
    del parts
    looked = _Looks(lister, processes, pages, share, wishes, pace, bar)
    looked.take()
    _check(processes)
    rules = _rules(host)
    looked.pages = looked.pages.numbered()
    known = looked.pages[~looked.pages.has(Bit.UNREAD)]
    return Estimate(
        share=looked.share,
        complete=looked.complete,
        looks=looked.count,
        seconds=looked.seconds,
        rows=rows_of(processes, looked.pages, rules),
        forecasts=_forecasts(known, rules, host, looked.share, processes),
    )


def _share(targets: Sequence[Target], wishes: Wishes, root: Path) -> float:
    """The share of pages to read, by what the processes have and how fast they are read."""
    present = sum(_present(target, root) for target in targets)
    most = float(MOST_PAGES)
    if wishes.budget is not None and wishes.bytes_per_second is not None:
        rate = wishes.bytes_per_second / mmap.PAGESIZE / wishes.looks
        most = min(most, wishes.budget * rate * _PLANNED)
    return min(1.0, most / max(present, 1))


def _present(target: Target, root: Path) -> int:
    """Anonymous pages of a process, by the kernel's own count (RssAnon, 4.5)."""
    for line in read_lines(root / f"proc/{target.pid}/status"):
        if line.startswith("RssAnon:"):
            return (number(line.split()[1]) or 0) * 1024 // mmap.PAGESIZE
    return 0


class _Looks:
    """Looks at pages, one after another.

    Attributes:
        pages: with what they held at the last look.
        share: of all frames, that they are.
        count: how many looks were begun.
        seconds: between the first's end and the last's.
        complete: each came to its end.
    """

    def __init__(
        self,
        lister: Lister,
        processes: Sequence[Process],
        pages: Pages,
        share: float,
        wishes: Wishes,
        pace: Pace,
        bar: Bar,
    ) -> None:
        self._lister, self._processes = lister, processes
        self._wishes, self._pace, self._bar = wishes, pace, bar
        self._hasher = PageHasher()
        self.pages, self.share = pages, share
        self.count, self.seconds, self.complete = 0, 0.0, True

    def take(self) -> None:
        """Take all looks, or as many as there is time for."""
        first = 0.0
        for look in range(1, self._wishes.looks + 1):
            if look > 1:
                self._pace.limit(None)
                self._pace.sleep(self._wishes.every)
                if self._pace.stopped():
                    break
            budget = self._wishes.budget
            self._pace.limit(None if budget is None else budget / self._wishes.looks)
            self.count = look
            with self._bar(f"look {look} of {self._wishes.looks}", len(self.pages)) as done:
                self._take_one(done)
            first = first or time.monotonic()
            self.seconds = time.monotonic() - first
            # of a sample that is smaller than planned there is time for the next look all the same
            if self._pace.stopped() and (look > 1 or self.share >= 1):
                break
        self.complete = self.count == self._wishes.looks and not self._pace.stopped()

    def _take_one(self, done: Callable[[float], None]) -> None:
        if self.share < 1 and self._lister.frames.shown and self.count == 1:
            self._in_rounds(done)
        else:
            self.pages = self._read(self.pages, done)

    def _in_rounds(self, done: Callable[[float], None]) -> None:
        """A first look at a sample in rounds, of which those count that came to their end."""
        lot = drawn(self.pages.frame, self._lister.key) / self.share
        rounds = np.minimum(lot * _ROUNDS, _ROUNDS - 1).astype(np.int64)
        taken: list[Pages] = []
        for at in range(_ROUNDS):
            part = self._read(self.pages[rounds == at], _after(sum(map(len, taken)), done))
            if self._pace.stopped() and taken:
                break
            taken.append(part)
        joined = Pages.joined(taken)
        self.pages = joined[np.argsort(joined.process, kind="stable")]
        self.share *= len(taken) / _ROUNDS

    def _read(self, pages: Pages, done: Callable[[float], None]) -> Pages:
        return read_contents(self._processes, pages, self._hasher, self._pace, done)


def _after(before: int, done: Callable[[float], None]) -> Callable[[float], None]:
    """Tells of pages that come after others."""
    return lambda count: done(before + count)


def _rules(host: Host) -> Rules:
    limit = number(host.tunables.get("max_page_sharing", "")) or Rules().max_page_sharing
    return Rules(
        max(limit, 2),
        host.tunables.get("use_zero_pages", "0") != "0",
        _version(host.kernel.release) >= (6, 12),
    )


def _version(release: str) -> tuple[int, ...]:
    """The first two numbers of a release."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return tuple(map(int, found.groups())) if found else (0, 0)


def _forecasts(
    pages: Pages, rules: Rules, host: Host, share: float, processes: Sequence[Process]
) -> dict[tuple[str, bool], Forecast]:
    advised = pages[pages.has(Bit.ADVISED)]
    return {
        (memory, zero): foretell(
            part,
            replace(rules, use_zero_pages=zero),
            host,
            share,
            None if share >= 1 else sum(map(count, processes)),
            sum(one.placed for one in processes),
        )
        for memory, part, count in (
            (ADVISED, advised, attrgetter("advised")),
            (ALL, pages, attrgetter("present")),
        )
        for zero in (rules.use_zero_pages, not rules.use_zero_pages)
    }


def _check(processes: Sequence[Process]) -> None:
    refused = [one for one in processes if one.unread]
    if refused and all(one.unread or not one.present for one in processes):
        raise HostError(
            f"no process may be read ({refused[0].unread}): reading memory of others needs "
            "CAP_SYS_PTRACE, and page frames CAP_SYS_ADMIN: run as root"
        )
