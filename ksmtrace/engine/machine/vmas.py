"""Changes to mappings: madvise, munmap, fork and exit as far as memory is concerned."""

from __future__ import annotations

from itertools import pairwise

from ksmtrace.engine.machine.anon_vma import anon_vma_fork, anon_vma_split, unlink_anon_vmas
from ksmtrace.engine.machine.memory import HUGE_PAGES, Memory, Mm, Vma


def split_vmas(mm: Mm, first: int, end: int) -> list[Vma]:
    """The mappings of pages `first` to `end` - 1 exactly, those that reach beyond being split.

    split_vma.
    """
    parts: list[Vma] = []
    inside: list[Vma] = []
    for vma in mm.vmas:
        cuts = [vma.start, *(at for at in (first, end) if vma.start < at < vma.end), vma.end]
        if len(cuts) == 2:
            pieces = [vma]
        else:
            pieces = [vma.part(a, b) for a, b in pairwise(cuts)]
            anon_vma_split(vma, pieces, mm)
            for cut in cuts[1:-1]:
                split_huge_pmd(mm, vma, cut)
        parts += pieces
        inside += [piece for piece in pieces if first <= piece.start and piece.end <= end]
    mm.vmas = parts
    return inside


def join_vmas(mm: Mm) -> None:
    """Join neighbours that differ in nothing (vma_merge)."""
    joined: list[Vma] = []
    for vma in mm.vmas:
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.end == vma.start
            and last.region == vma.region
            and last.mergeable == vma.mergeable
        ):
            joined[-1] = last.part(last.start, vma.end)
        else:
            joined.append(vma)
    mm.vmas = joined


def split_huge_pmd(mm: Mm, vma: Vma, vpn: int) -> None:
    """Map the 2 MiB block around page `vpn` by single entries, if a cut within it is to be made."""
    block = vpn - vpn % HUGE_PAGES
    if vma.huge and vpn != block and any(at in mm.ptes for at in range(block, block + HUGE_PAGES)):
        mm.tables.add(block)
        mm.huge_zero.discard(block)


def zap_range(memory: Memory, mm: Mm, vma: Vma, first: int, end: int) -> None:
    """Forget pages `first` to `end` - 1 of `vma`: MADV_DONTNEED, or before munmap.

    zap_page_range.
    """
    for cut in (first, end):
        split_huge_pmd(mm, vma, cut)
    for vpn in range(first, end):
        memory.unmap_frame(mm, vpn)
    if not vma.huge:
        return
    for block in range(first + -first % HUGE_PAGES, end - HUGE_PAGES + 1, HUGE_PAGES):
        mm.huge_zero.discard(block)
        if memory.version.discard_frees_page_tables:
            mm.tables.discard(block)


def munmap(memory: Memory, mm: Mm, first: int, end: int) -> None:
    """Remove pages `first` to `end` - 1 from the address space."""
    gone = split_vmas(mm, first, end)
    for vma in gone:
        zap_range(memory, mm, vma, vma.start, vma.end)
        unlink_anon_vmas(vma)
    mm.vmas = [vma for vma in mm.vmas if vma not in gone]


def dup_mmap(parent: Mm, child: Mm) -> None:
    """Give `child` all of `parent`'s mappings and pages, shared for reading.

    kernel/fork.c: dup_mmap.
    """
    child.vmas = [vma.part(vma.start, vma.end) for vma in parent.vmas]
    for before, after in zip(parent.vmas, child.vmas, strict=True):
        anon_vma_fork(before, after, child)
    child.tables = set(parent.tables)
    child.huge_zero = set(parent.huge_zero)
    parent.ptes.copy_to(child.ptes)
    for frame in parent.ptes.values():
        frame.mapped += 1
        frame.exclusive = False
    child.ksm_zero = set(parent.ksm_zero)


def exit_mmap(memory: Memory, mm: Mm) -> None:
    """Release all memory of `mm` (mm/mmap.c: exit_mmap)."""
    mm.exited = True
    for vpn in list(mm.ptes):
        memory.unmap_frame(mm, vpn)
    for vma in mm.vmas:
        unlink_anon_vmas(vma)
    memory.mms.remove(mm)
    if mm.slot is None:
        mm.ptes.release()
