"""The memory that a workload's steps map, found without running them: processes and regions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MOST_PROCESSES = 256
"""How many processes a workload may have in all."""

MOST_PAGES = 1 << 22
"""Pages (16 GiB) that all processes may have mapped at a time; those of a fork count again."""


@dataclass(frozen=True, slots=True)
class Region:
    """A region: its length when it was mapped, and the ranges [start, end) that are still."""

    pages: int
    mapped: tuple[tuple[int, int], ...]

    def covers(self, first: int, pages: int) -> bool:
        """Whether all these pages are mapped."""
        return any(start <= first and first + pages <= end for start, end in self.mapped)

    def without(self, first: int, pages: int) -> Region:
        """The region with these pages unmapped."""
        left: list[tuple[int, int]] = []
        for start, end in self.mapped:
            pieces = ((start, min(end, first)), (max(start, first + pages), end))
            left += [piece for piece in pieces if piece[0] < piece[1]]
        return Region(self.pages, tuple(left))

    @property
    def size(self) -> int:
        """How many pages are mapped."""
        return sum(end - start for start, end in self.mapped)


class Footprint:
    """Processes and their regions while the steps of a workload are gone through in order.

    Attributes:
        processes: the regions of each process that lives, by name.
        most_pages: the most pages that were mapped at any time.
        most_processes: the most processes that lived at any time.
    """

    def __init__(self) -> None:
        self.processes: dict[str, dict[str, Region]] = {}
        self.most_pages = 0
        self.most_processes = 0
        self._names: set[str] = set()
        self._pages = 0

    def apply(self, op: str, arguments: dict[str, Any]) -> None:
        """Go through one step; fills in `pages` where it is left to the end of the region.

        Raises:
            ValueError: the step names what does not exist, or what exists already.
        """
        match op:
            case "spawn":
                self._add(arguments["process"], {})
            case "fork":
                self._add(arguments["child"], dict(self._process(arguments)))
            case "exit":
                regions = self._process(arguments)
                self._pages -= sum(region.size for region in regions.values())
                del self.processes[arguments["process"]]
            case "map":
                self._map(arguments)
            case "place":
                self._reach("place", {**arguments, "first": 0})
            case "merge_any":
                self._process(arguments)
            case _ if "region" in arguments:
                self._reach(op, arguments)

    def _add(self, name: str, regions: dict[str, Region]) -> None:
        if name in self._names:
            raise ValueError(f"process name {name!r} is used twice")
        if len(self._names) == MOST_PROCESSES:
            raise ValueError(f"a workload has at most {MOST_PROCESSES} processes")
        self._names.add(name)
        self.processes[name] = regions
        self.most_processes = max(self.most_processes, len(self.processes))
        self._grow(sum(region.size for region in regions.values()))

    def _process(self, arguments: dict[str, Any]) -> dict[str, Region]:
        name = arguments["process"]
        if name not in self.processes:
            state = "has exited" if name in self._names else "does not exist here"
            raise ValueError(f"process {name!r} {state}")
        return self.processes[name]

    def _map(self, arguments: dict[str, Any]) -> None:
        regions, name, pages = self._process(arguments), arguments["region"], arguments["pages"]
        if name in regions:
            raise ValueError(
                f"region name {name!r} is used twice in process {arguments['process']!r}"
            )
        regions[name] = Region(pages, ((0, pages),))
        self._grow(pages)

    def _reach(self, op: str, arguments: dict[str, Any]) -> None:
        regions, name, first = self._process(arguments), arguments["region"], arguments["first"]
        if name not in regions:
            raise ValueError(f"process {arguments['process']!r} has no region {name!r}")
        region = regions[name]
        if first >= region.pages:
            raise ValueError(f"first = {first}: region {name!r} has {region.pages} pages")
        pages = arguments.setdefault("pages", region.pages - first)
        last = first + pages - 1
        if last >= region.pages:
            raise ValueError(f"pages {first} to {last}: region {name!r} has {region.pages} pages")
        if not region.covers(first, pages):
            raise ValueError(f"pages {first} to {last} of region {name!r} are not all mapped")
        if op == "unmap":
            regions[name] = region.without(first, pages)
            self._pages -= pages

    def _grow(self, pages: int) -> None:
        self._pages += pages
        if self._pages > MOST_PAGES:
            raise ValueError(f"more than {MOST_PAGES} pages are mapped at a time")
        self.most_pages = max(self.most_pages, self._pages)
