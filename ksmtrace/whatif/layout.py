"""Regions for the pages of a capture: which page of which region each becomes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

_WIDEST_GAP = 64
"""Pages that are this near to each other are in one region; what lies between is never touched."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive pages of a region: the first one's number, and their numbers in the capture."""

    region: str
    first: int
    vpns: tuple[int, ...]


class Layout:
    """The regions that hold some pages, in the order of their addresses.

    Attributes:
        regions: how many pages each has, by name.
    """

    def __init__(self, vpns: Collection[int]) -> None:
        self._starts: list[int] = []
        self.regions: dict[str, int] = {}
        last = None
        for vpn in sorted(vpns):
            if last is None or vpn - last > _WIDEST_GAP:
                self._starts.append(vpn)
            self.regions[f"r{len(self._starts)}"] = vpn - self._starts[-1] + 1
            last = vpn

    def runs(self, vpns: Iterable[int]) -> Iterator[Run]:
        """These pages, all known, as runs."""
        ordered = sorted(vpns)
        cuts = [0, *(i for i, (a, b) in enumerate(pairwise(ordered), 1) if b != a + 1)]
        for start, end in pairwise([*cuts, len(ordered)] if ordered else []):
            yield self._run(ordered[start:end])

    def _run(self, vpns: list[int]) -> Run:
        index = bisect_right(self._starts, vpns[0]) - 1
        return Run(f"r{index + 1}", vpns[0] - self._starts[index], tuple(vpns))
