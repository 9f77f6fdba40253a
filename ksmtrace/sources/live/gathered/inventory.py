"""Baselines: all rmap_items as they are, listed by BPF when the trace begins and after a loss."""

from __future__ import annotations

import numpy as np

from ksmtrace.sources.live.gathered.chunk import FROM_START, ChunkFlag, Walk
from ksmtrace.sources.live.gathered.mm_list import HEAD, MmList
from ksmtrace.sources.live.gathered.population import Items, Population

_FIRST, _LAST = int(ChunkFlag.FIRST), int(ChunkFlag.LAST)
"""As plain numbers: to make an IntFlag takes longer than all that is done by it."""


class Inventory:
    """Puts what an inventory lists in the place of what was known.

    An inventory may take several of ksmd's batches. Each part tells how things are at its place in
    the stream, and is kept up to date from there on. One amid which something is lost does not
    count: parts of it may be missing, or out of date.

    Attributes:
        began: whether one has been complete.
        complete: whether the last one that began is.
    """

    def __init__(self, populations: dict[int, Population], order: MmList) -> None:
        self.began = False
        self.complete = False
        self._populations = populations
        self._order = order
        self._torn = False
        self._listed: set[int] = set()
        self._places = [HEAD]

    def lose(self) -> None:
        """Something was lost: the inventory that is under way does not count."""
        self._torn = True

    def take(self, flags: int, walk: Walk, clock: int) -> bool:
        """Take a chunk; returns whether it ends an inventory that counts."""
        if flags & _FIRST:
            self.complete = self._torn = False
            self._listed, self._places = set(), [HEAD]
        for stretch in walk.stretches:
            population = self._populations.setdefault(stretch.mm, Population())
            part = slice(stretch.first, stretch.stop)
            vpn = walk.vpn[part]
            low = 0 if stretch.behind == FROM_START else population.behind(stretch.behind)
            high = population.behind(int(vpn[-1])) if len(vpn) else low
            if stretch.ended:
                high = len(population)
            items = Items(
                vpn,
                walk.rmap_item[part],
                walk.tree[part],
                walk.checksum[part],
                walk.head[part],
                np.full(len(vpn), clock),
            )
            population.replace(low, max(low, high), items)
            if stretch.mm not in self._listed:
                while self._places[-1] not in self._order:  # it has gone since it was listed
                    self._places.pop()
                self._order.put_behind(self._places[-1], stretch.mm)
                self._listed.add(stretch.mm)
            if stretch.mm != self._places[-1]:
                self._places.append(stretch.mm)
        if self._torn or not flags & _LAST:
            return False
        for mm in set(self._populations) - self._listed:
            del self._populations[mm]
        self.began = self.complete = True
        return True

    def visited(self, mm: int) -> None:
        """Note that ksmd came to `mm`, which may have registered behind what has been listed."""
        self._listed.add(mm)
