"""The processes of the engine's machine: regions of memory by name, their pages by number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ksmtrace.engine.machine.memory import HUGE_PAGES, Mm, Vma
from ksmtrace.errors import KsmtraceError

_FIRST_VPN = 0x1_0000_0000


@dataclass(frozen=True, slots=True)
class Region:
    """Memory that was mapped in one go: its first page number, and how many pages."""

    first_vpn: int
    pages: int


@dataclass(slots=True)
class Process:
    """A process; `regions` are by name those that it has mapped, or inherited."""

    mm: Mm
    regions: dict[str, Region] = field(default_factory=dict)
    next_vpn: int = _FIRST_VPN

    def forked(self, mm: Mm) -> Process:
        """A child with that memory, and the same regions."""
        return Process(mm, dict(self.regions), self.next_vpn)

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
