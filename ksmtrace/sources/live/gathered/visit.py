"""What ksmd passed in a batch, beside what was known of it before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ksmtrace.sources.live.gathered.chunk import COLUMNS, FROM_START, Ints, Stretch, Walk
from ksmtrace.sources.live.gathered.mm_list import HEAD, MmList
from ksmtrace.sources.live.gathered.places import FREED, keys
from ksmtrace.sources.live.gathered.population import Items, Population, joined, no_items

_NOBODY = Population()


@dataclass(slots=True)
class Freed:
    """Known items that ksmd freed on its way.

    Attributes:
        items: as they were known.
        mm: of each.
        place: of each, in the order of `Visit.place`.
        part: of each, `FREED` or `LATE`.
    """

    items: list[Items] = field(default_factory=list)
    mm: list[npt.NDArray[np.uint64]] = field(default_factory=list)
    place: list[Ints] = field(default_factory=list)
    part: list[Ints] = field(default_factory=list)

    def add(self, items: Items, mm: int, place: Ints | int, part: int = FREED) -> None:
        """These items of `mm`, in order."""
        count = len(items.vpn)
        if count:
            self.items.append(items.copy())
            self.mm.append(np.full(count, mm, dtype=np.uint64))
            self.place.append(np.broadcast_to(np.asarray(place, dtype=np.int64), (count,)))
            self.part.append(np.full(count, part))

    def sorted(self) -> tuple[Items, npt.NDArray[np.uint64], Ints]:
        """The items in order, the mm of each, and the key of each."""
        if not self.items:
            return no_items(), np.zeros(0, np.uint64), np.zeros(0, np.int64)
        key = keys(np.concatenate(self.place), 0) + np.concatenate(self.part)
        order = np.argsort(key, kind="stable")
        key = key[order] + 2 * np.arange(len(key))
        return joined(self.items).take(order), np.concatenate(self.mm)[order], key


@dataclass(slots=True)
class Visit:
    """A batch's items in the order of ksmd.

    A place is a number that grows along ksmd's way: 0 is before the first stretch; each item has
    one, and behind each stretch one is free, for what ksmd does as it leaves the mm.

    Attributes:
        walk: what the chunks say.
        place: of each item.
        mm: of each item.
        before: what was known of each; zero for what was not.
        known: whether anything was.
        windows: of each stretch, which rows of its mm's population it spans.
        leaving: of each stretch, whether nobody used its mm any more.
        freed: what lay between them and is gone.
    """

    walk: Walk
    place: Ints
    mm: npt.NDArray[np.uint64]
    before: Items
    known: npt.NDArray[np.bool_]
    windows: list[tuple[int, int]]
    leaving: list[bool]
    freed: Freed

    def end_of(self, stretch: int) -> int:
        """The free place behind a stretch; that before the first for -1."""
        return self.walk.stretches[stretch].stop + stretch + 1 if stretch >= 0 else 0

    @property
    def last(self) -> int:
        """The last place."""
        return self.end_of(len(self.walk.stretches) - 1)


def in_order(
    walked: Walk, leaving: Sequence[Walk], order: MmList, entered: Sequence[int], cursor: int
) -> tuple[Walk, list[bool]]:
    """The stretches of a batch, with those of mms that exited in it where ksmd met them.

    Args:
        walked: what the walk at the batch's end found.
        leaving: what was found as each exited.
        order: the mms as ksmd met them before they exited.
        entered: those that have registered since the last batch, in order.
        cursor: the mm at which the batch began.

    Returns:
        All as one, and which stretches are of those that exited.
    """
    if not any(walk.stretches for walk in leaving):  # a chunk that is damaged says nothing
        return walked, [False] * len(walked.stretches)
    parts = [(walked, stretch, False) for stretch in walked.stretches]
    for walk in leaving:
        for stretch in walk.stretches:
            index = _index_of(stretch.mm, parts, order, entered, cursor)
            parts.insert(index, (walk, stretch, True))
    columns: dict[str, Any] = {
        name: np.concatenate(
            [getattr(walk, name)[part.first : part.stop] for walk, part, _ in parts]
        )
        for name in COLUMNS
    }
    stretches, first = [], 0
    for _, part, _ in parts:
        stop = first + part.stop - part.first
        stretches.append(part._replace(first=first, stop=stop))
        first = stop
    return walked._replace(stretches=stretches, **columns), [left for _, _, left in parts]


def _index_of(
    mm: int,
    parts: list[tuple[Walk, Stretch, bool]],
    order: MmList,
    entered: Sequence[int],
    cursor: int,
) -> int:
    index_of = {stretch.mm: index for index, (_, stretch, _) in enumerate(parts)}
    if mm == cursor:
        return 0
    if mm not in order:
        # It registered between two passes: ksmd came to it behind all others.
        later = entered[entered.index(mm) + 1 :] if mm in entered else ()
        return min((index_of[one] for one in later if one in index_of), default=len(parts))
    one = order.before(mm)
    while one not in (HEAD, cursor) and one not in index_of:
        one = order.before(one)
    return index_of.get(one, -1) + 1


def visit(walk: Walk, leaving: list[bool], populations: Mapping[int, Population]) -> Visit:
    """Find the items of a walk among what is known."""
    freed = Freed()
    befores, knowns, windows = [], [], []
    lengths = np.array([one.stop - one.first for one in walk.stretches], dtype=np.int64)
    for number, stretch in enumerate(walk.stretches):
        population = populations.get(stretch.mm, _NOBODY)
        vpn = walk.vpn[stretch.first : stretch.stop]
        low = 0 if stretch.behind == FROM_START else population.behind(stretch.behind)
        if stretch.ended:
            high = len(population)
        else:
            high = population.behind(int(vpn[-1])) if len(vpn) else low
        high = max(low, high)
        windows.append((low, high))
        near = population.part(low, high)
        before, known, gone = _matched(vpn, walk.rmap_item[stretch.first : stretch.stop], near)
        befores.append(before)
        knowns.append(known)
        if gone is not None:
            places = np.searchsorted(vpn, near.vpn[gone]) + stretch.first + number + 1
            freed.add(near.take(gone), stretch.mm, places)
    numbers = np.repeat(np.arange(len(lengths)), lengths)
    mms = np.array([one.mm for one in walk.stretches], dtype=np.uint64)
    return Visit(
        walk=walk,
        place=np.arange(len(walk.vpn)) + numbers + 1,
        mm=np.repeat(mms, lengths),
        before=joined(befores),
        known=np.concatenate(knowns) if knowns else np.zeros(0, dtype=bool),
        windows=windows,
        leaving=leaving,
        freed=freed,
    )


def _matched(
    vpn: Ints, rmap_item: npt.NDArray[np.uint64], near: Items
) -> tuple[Items, npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
    """What is known of each page, whether anything is, and which rows of `near` are gone."""
    if len(vpn) == len(near.vpn) and np.array_equal(vpn, near.vpn):
        before, known = near.copy(), np.ones(len(vpn), dtype=bool)
        other = (rmap_item != 0) & (rmap_item != before.rmap_item)
        if not other.any():
            return before, known, None
        gone = other
    elif not len(near.vpn):
        return no_items(len(vpn)), np.zeros(len(vpn), dtype=bool), None
    else:
        rows = np.minimum(np.searchsorted(near.vpn, vpn), len(near.vpn) - 1)
        known = near.vpn[rows] == vpn
        before = near.take(rows)
        other = known & (rmap_item != 0) & (rmap_item != before.rmap_item)
        gone = np.ones(len(near.vpn), dtype=bool)
        gone[rows[known & ~other]] = False
    # Another rmap_item for the same page: the one that was known is gone.
    known = known & ~other
    for column in before:
        column[~known] = 0
    return before, known, gone if gone.any() else None
