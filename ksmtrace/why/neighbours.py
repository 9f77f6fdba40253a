"""What unique pages are nearly equal to, and in what they differ."""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.looking import Lister, Pace, Process
from ksmtrace.estimate.pages import Bit, Mask, Pages
from ksmtrace.kernel.mappings import read_mappings
from ksmtrace.kernel.page_contents import PIECE_PAGES, PageReader, present_contents
from ksmtrace.kernel.page_table import PageTable
from ksmtrace.kernel.sysfs import ROOT
from ksmtrace.why.comparing import Bar
from ksmtrace.why.fields import Field, Known, fields_of, frequent
from ksmtrace.why.near import MOST_BYTES, Contents, Places, Signer, candidates, nearest, read_pairs
from ksmtrace.why.surroundings import (
    Surroundings,
    now,
    read_canary,
    started_ns,
    surroundings,
)

MOST_PAGES = 1 << 20
"""Pages that are compared at most: of each there are 128 bytes."""
MOST_WATCHED = 4096
"""Changing pages that are watched at most: they are kept for a second."""
_OFTEN = 2


@dataclass(frozen=True, slots=True)
class Near:
    """A page, its nearest one, and the fields in which they differ.

    Attributes:
        place: of the page among those of the process.
        other: process that has the nearest one, as a place among processes.
        other_address: where.
        differing_bytes: in how many bytes they differ.
    """

    place: int
    other: int
    other_address: int
    differing_bytes: int
    fields: list[Field]


@dataclass(slots=True)
class Neighbours:
    """What was found.

    Attributes:
        asked: pages of which a near one was sought.
        compared: pages with which they were compared.
        left_out: pages that were too many to be compared with.
        near: those that have one, by address.
        watched: changing pages that were watched for what changes in them.
        changed: those that changed meanwhile, beside themselves before, by address.
    """

    asked: int = 0
    compared: int = 0
    left_out: int = 0
    near: list[Near] = field(default_factory=list)
    watched: int = 0
    changed: list[Near] = field(default_factory=list)


class Search:
    """Seeks near pages.

    Args:
        processes: by the column `process`; the one that is asked about is the first.
        pace: how fast to read, and when to stop.
        bar: shows progress.
        root: where /proc is.
    """

    def __init__(
        self, processes: Sequence[Process], pace: Pace, bar: Bar, root: Path = ROOT
    ) -> None:
        self._processes, self._pace, self._bar, self._root = processes, pace, bar, root
        self._known: dict[int, Surroundings] = {}

    def seek(self, own: Pages, asked: Mask, *, advised_only: bool) -> Neighbours:
        """Near pages of those of `own` that are `asked` about.

        Args:
            own: pages of the first process.
            asked: which of them; shape (n,).
            advised_only: near ones are mergeable pages alone; else all of `own` too.
        """
        found = Neighbours(asked=int(np.count_nonzero(asked)))
        if not found.asked:
            return found
        partner = ~own.has(Bit.UNREAD) & (own.has(Bit.ADVISED) | ~np.bool_(advised_only))
        places = np.flatnonzero(partner | asked)
        found.left_out = max(0, len(places) - MOST_PAGES)
        places = places[:MOST_PAGES]
        pool, left_out = self._pool(own[places])
        found.left_out += left_out
        found.compared = len(pool)
        wanted = np.zeros(len(pool), dtype=np.bool_)
        wanted[: len(places)] = asked[places]
        reader = _Reader(self._processes, pool, self._pace)
        pairs = candidates(self._signatures(pool, reader), wanted)
        with self._bar("comparing pages that are nearly equal", len(pairs)):
            near = nearest(pairs, reader.fetch)
            found.near = [
                Near(int(places[one.place]), one.other, one.other_address, *rest)
                for one in self._described(pool, near, reader)
                for rest in [(one.differing_bytes, one.fields)]
            ]
        return found

    def watch(self, own: Pages, changing: Mask, seconds: float, found: Neighbours) -> None:
        """Watch changing pages of `own` for so long, and put what changes in them into `found`.

        Pages that change in more than `MOST_BYTES` bytes are left out.
        """
        places = np.flatnonzero(changing)[:MOST_WATCHED]
        found.watched = len(places)
        if not len(places):
            return
        pages = own[places]
        reader = _Reader(self._processes, pages, self._pace)
        everyone = np.arange(len(places))
        before, known = reader.fetch(everyone)
        self._pace.sleep(seconds)
        after, known_after = reader.fetch(everyone)
        counts = np.count_nonzero(before != after, axis=1)
        some = np.flatnonzero(known & known_after & (counts > 0) & (counts <= MOST_BYTES))
        none = np.zeros(0, dtype=np.uint64)
        around = self._around(0)
        told = fields_of(
            after[some],
            before[some],
            Known(around, around, self._in_heaps(pages)[some], none, none),
            now(),
        )
        found.changed = [
            Near(int(places[at]), 0, int(pages.address[at]), int(counts[at]), fields)
            for at, fields in zip(some.tolist(), told, strict=True)
        ]

    def _pool(self, own: Pages) -> tuple[Pages, int]:
        """`own` and mergeable pages of others, as far as there is room, and how many are not."""
        parts, count, left_out = [own], len(own), 0
        lister = Lister(advised_only=True, root=self._root)
        for index, process in enumerate(self._processes[1:], 1):
            for piece in lister.list(index, process):
                room = max(0, MOST_PAGES - count)
                parts.append(piece[:room])
                count += len(parts[-1])
                left_out += len(piece) - len(parts[-1])
        return Pages.joined(parts), left_out

    def _signatures(self, pool: Pages, reader: _Reader) -> npt.NDArray[np.uint64]:
        """Signatures of pages; of those that cannot be read numbers that nobody else has."""
        random = np.random.default_rng()
        signer = Signer(random)
        parts = [np.zeros((0, 16), dtype=np.uint64)]
        with self._bar("seeking pages that are nearly equal", len(pool)) as done:
            for start in range(0, len(pool), PIECE_PAGES):
                places = np.arange(start, min(start + PIECE_PAGES, len(pool)))
                contents, known = reader.fetch(places)
                part = signer.signatures(contents)
                lost = part[~known]
                part[~known] = random.integers(0, 1 << 64, lost.shape, dtype=np.uint64)
                parts.append(part)
                done(start)
        return np.concatenate(parts)

    def _described(self, pool: Pages, near: Places, reader: _Reader) -> Iterator[Near]:
        heaps = self._in_heaps(pool)
        often = self._frequent(pool, near, reader)
        for index in np.unique(pool.process[near[:, 1]]).tolist():
            mine = near[pool.process[near[:, 1]] == index]
            for part, ours, theirs in read_pairs(mine, reader.fetch):
                differ = np.flatnonzero(np.any(ours != theirs, axis=1))
                part, ours, theirs = part[differ], ours[differ], theirs[differ]
                known = Known(
                    self._around(0), self._around(index), heaps[part[:, 0]], often[0], often[index]
                )
                told = fields_of(ours, theirs, known, now())
                for (place, other, _), fields, count in zip(
                    part.tolist(), told, np.count_nonzero(ours != theirs, axis=1), strict=True
                ):
                    yield Near(place, index, int(pool.address[other]), int(count), fields)

    def _frequent(
        self, pool: Pages, near: Places, reader: _Reader
    ) -> dict[int, npt.NDArray[np.uint64]]:
        """By process: values of near pages that may be a canary's, and occur more than once."""
        counts: dict[int, Counter[int]] = {0: Counter()}
        for part, ours, theirs in read_pairs(near, reader.fetch):
            counts[0] += frequent(ours)
            for index in np.unique(pool.process[part[:, 1]]).tolist():
                mine = pool.process[part[:, 1]] == index
                counts.setdefault(index, Counter())
                counts[index] += frequent(theirs[mine])
        return {
            index: np.array([v for v, n in one.items() if n >= _OFTEN], dtype=np.uint64)
            for index, one in counts.items()
        }

    def _around(self, index: int) -> Surroundings:
        if index not in self._known:
            target = self._processes[index].target
            mappings = []
            with suppress(OSError):
                mappings = read_mappings(target.pid, self._root)
            canary = read_canary(target.pid, self._root)
            self._known[index] = surroundings(mappings, canary, started_ns(target.start))
        return self._known[index]

    def _in_heaps(self, pool: Pages) -> Mask:
        """Which pages of the first process lie where glibc's allocator may have them."""
        own = self._around(0)
        at = own.mapping_of(pool.address)
        found: Mask = (pool.process == 0) & (at >= 0)
        if len(own.heaps):
            found &= own.heaps[np.maximum(at, 0)]
        return found


class _Reader:
    """Reads pages of several processes by their places."""

    def __init__(self, processes: Sequence[Process], pages: Pages, pace: Pace) -> None:
        self._processes, self._pages, self._pace = processes, pages, pace

    def fetch(self, places: Places) -> tuple[Contents, Mask]:
        """As `ksmtrace.why.near.Fetch`; places ascend."""
        contents = np.zeros((len(places), mmap.PAGESIZE), dtype=np.uint8)
        known = np.zeros(len(places), dtype=np.bool_)
        process = self._pages.process[places]
        for index in np.unique(process).tolist():
            if self._pace.stopped():
                break
            mine = np.flatnonzero(process == index)
            with suppress(OSError):
                self._fetch(index, places[mine], mine, contents, known)
        return contents, known

    def _fetch(
        self, index: int, places: Places, mine: Places, contents: Contents, known: Mask
    ) -> None:
        pid = self._processes[index].target.pid
        merged = self._pages.has(Bit.MERGED)[places]
        self._pace.spend(len(places) * mmap.PAGESIZE)
        with PageTable(pid) as table, PageReader(pid) as reader:
            address = self._pages.address[places]
            for read, found in present_contents(table, reader, address, merged):
                known[mine[read]] = True
                for at, page in zip(mine[read].tolist(), found, strict=True):
                    contents[at] = np.frombuffer(page, np.uint8)
