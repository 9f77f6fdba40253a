"""The processes of the engine's machine: regions of memory by name, their pages by number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ksmtrace.engine.machine.memory import HUGE_PAGES, Frame, Memory, Mm, Vma
from ksmtrace.errors import KsmtraceError

_FIRST_VPN = 0x1_0000_0000


@dataclass(frozen=True, slots=True)
class Region:
    """Memory that was mapped in one go: its first page number, and how many pages."""

    first_vpn: int
    pages: int


@dataclass(slots=True)
class Pipe:
    """A pipe with pages in it, on each of which it holds a reference; who has it open."""

    frames: list[Frame]
    holders: int = 1

    def drain(self, memory: Memory) -> None:
        """Let go of the pages."""
        for frame in self.frames:
            memory.put_page(frame)
        self.frames = []

    def close(self, memory: Memory) -> None:
        """One holder less; the last one lets go of the pages."""
        self.holders -= 1
        if not self.holders:
            self.drain(memory)


@dataclass(slots=True)
class Process:
    """A process.

    Attributes:
        mm: its memory.
        regions: by name those that it has mapped, or inherited.
        next_vpn: where the next one goes.
        pipes: those that hold pages, inherited ones too.
        advises: each mapping is advised to be mergeable as it is made.
    """

    mm: Mm
    regions: dict[str, Region] = field(default_factory=dict)
    next_vpn: int = _FIRST_VPN
    pipes: list[Pipe] = field(default_factory=list)
    advises: bool = False

    def forked(self, mm: Mm) -> Process:
        """A child with that memory, and the same regions and pipes."""
        for pipe in self.pipes:
            pipe.holders += 1
        return Process(mm, dict(self.regions), self.next_vpn, list(self.pipes), self.advises)

    def pin(self, frames: list[Frame]) -> None:
        """Put pages into a pipe."""
        for frame in frames:
            frame.references += 1
        self.pipes.append(Pipe(frames))

    def unpin(self, memory: Memory) -> None:
        """Take all pages out of all pipes, and forget those."""
        for pipe in self.pipes:
            pipe.drain(memory)
        self.pipes = []

    def close_pipes(self, memory: Memory) -> None:
        """Close all pipes."""
        for pipe in self.pipes:
            pipe.close(memory)

    def map(self, region: str, pages: int, *, huge: bool) -> Vma:
        """Map a region above all others.

        Raises:
            KsmtraceError: there is a region of that name.
        """
        if region in self.regions:
            raise KsmtraceError(f"{self.mm.comm} has a region {region} already")
        first = self.next_vpn
        self.regions[region] = Region(first, pages)
        self.next_vpn += pages + -pages % HUGE_PAGES + HUGE_PAGES
        vma = Vma(first, first + pages, region, huge=huge)
        self.mm.vmas.append(vma)
        return vma

    def vpns(self, region: str, first: int, pages: int) -> tuple[int, int]:
        """Page numbers in the address space, the first and the one behind the last.

        Args:
            region: by name.
            first: the first page, counted from the region's first.
            pages: how many.

        Raises:
            KsmtraceError: no such region, or some of these pages are not mapped.
        """
        known = self.regions.get(region)
        if known is None:
            raise KsmtraceError(f"{self.mm.comm} has no region {region}")
        start = known.first_vpn + first
        end = start + pages
        inside = first >= 0 and pages >= 0 and first + pages <= known.pages
        if not inside or not self._is_mapped(start, end):
            raise KsmtraceError(
                f"pages {first} to {first + pages - 1} of {self.mm.comm}/{region} are not all "
                "mapped"
            )
        return start, end

    def all_of(self, region: str) -> tuple[int, int]:
        """`vpns` of a whole region."""
        known = self.regions.get(region)
        return self.vpns(region, 0, 0 if known is None else known.pages)

    def _is_mapped(self, start: int, end: int) -> bool:
        for vma in self.mm.vmas:
            if vma.start <= start < vma.end:
                start = vma.end
        return start >= end


def parts(mm: Mm, start: int, end: int) -> Iterator[tuple[Vma, int, int]]:
    """Each VMA that has some of these pages, with the first of them and the one behind the last.

    The caller may split or remove VMAs meanwhile.
    """
    for vma in tuple(mm.vmas):
        low, high = max(start, vma.start), min(end, vma.end)
        if low < high:
            yield vma, low, high


def groups_of(processes: Mapping[str, Process]) -> list[list[str]]:
    """Who shares a physical KSM page with whom, as sorted lists of "process/region/page"."""
    sharers: dict[Frame, list[str]] = {}
    for name, process in processes.items():
        for region_name, region in process.regions.items():
            for index in range(region.pages):
                frame = process.mm.ptes.ksm_page(region.first_vpn + index)
                if frame is not None:
                    sharers.setdefault(frame, []).append(f"{name}/{region_name}/{index}")
    return sorted(sorted(group) for group in sharers.values())
