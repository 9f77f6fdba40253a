"""How processes come to ksmd's attention, and leave it: madvise, prctl, fork, exit."""

from __future__ import annotations

from ksmtrace.engine.ksm.state import Ksm, MmSlot
from ksmtrace.engine.ksm.tunables import RUN_UNMERGE
from ksmtrace.engine.ksm.unmerge import break_ksm
from ksmtrace.engine.machine.memory import Mm, Vma
from ksmtrace.engine.machine.vmas import join_vmas, split_vmas


def ksm_enter(ksm: Ksm, mm: Mm) -> None:
    """Register `mm`, just before the process at the cursor: ksmd comes to it last.

    __ksm_enter, all versions.
    """
    ksm.watcher.mm_enter(mm)
    slot = mm.slot = MmSlot(mm)
    slot.insert_before(ksm.mm_head if ksm.run == RUN_UNMERGE else ksm.scan.slot)


def ksm_exit(ksm: Ksm, mm: Mm) -> None:
    """`mm` is about to lose its memory; ksmd frees its rmap_items when it comes to it, next.

    __ksm_exit, all versions.

    Without rmap_items it leaves the list at once, unless the cursor is on it.
    """
    slot: MmSlot | None = mm.slot
    if slot is None:
        return
    ksm.watcher.mm_exit(mm)
    if slot is ksm.scan.slot:
        return
    slot.remove()
    if not mm.ksm_rmap_items:
        mm.slot = None
    else:
        slot.insert_before(ksm.scan.slot.next)


def ksm_fork(ksm: Ksm, parent: Mm, child: Mm) -> None:
    """Register the child of a registered process; it gets no rmap_items of its own.

    ksm_fork, all versions.

    Since 6.6 its copies of KSM's zero pages count.
    """
    child.merge_any = parent.merge_any
    if parent.slot is not None:
        ksm.memory.ksm_zero_pages += len(child.ksm_zero)
        ksm_enter(ksm, child)


def madvise_mergeable(ksm: Ksm, mm: Mm, first: int, end: int) -> None:
    """MADV_MERGEABLE of pages `first` to `end` - 1 (ksm_madvise, all versions)."""
    for vma in split_vmas(mm, first, end):
        _make_mergeable(ksm, mm, vma)
    join_vmas(mm)


def madvise_unmergeable(ksm: Ksm, mm: Mm, first: int, end: int) -> None:
    """MADV_UNMERGEABLE: private copies at once; the gauges stay until ksmd comes.

    ksm_madvise, all versions.
    """
    for vma in split_vmas(mm, first, end):
        if vma.mergeable:
            break_ksm(ksm, mm, vma.start, vma.end)
            vma.mergeable = False
            if ksm.accelerator is not None:
                ksm.accelerator.unmergeable()
    join_vmas(mm)


def ksm_enable_merge_any(ksm: Ksm, mm: Mm) -> None:
    """PR_SET_MEMORY_MERGE 1: all mappings, also those to come (ksm_enable_merge_any, 6.4)."""
    if mm.merge_any:
        return
    if mm.slot is None:
        ksm_enter(ksm, mm)
    mm.merge_any = True
    for vma in mm.vmas:
        vma.mergeable = True


def ksm_disable_merge_any(ksm: Ksm, mm: Mm) -> None:
    """PR_SET_MEMORY_MERGE 0 (ksm_disable_merge_any, 6.4)."""
    if not mm.merge_any:
        return
    for vma in mm.vmas:
        if vma.mergeable:
            break_ksm(ksm, mm, vma.start, vma.end)
            vma.mergeable = False
            if ksm.accelerator is not None:
                ksm.accelerator.unmergeable()
    mm.merge_any = False


def ksm_add_vma(ksm: Ksm, mm: Mm, vma: Vma) -> None:
    """A new mapping of a process with PR_SET_MEMORY_MERGE.

    ksm_add_vma, 6.4; ksm_vma_flags in 6.18.
    """
    if mm.merge_any:
        _make_mergeable(ksm, mm, vma)


def _make_mergeable(ksm: Ksm, mm: Mm, vma: Vma) -> None:
    if vma.mergeable:
        return
    if mm.slot is None:
        ksm_enter(ksm, mm)
    vma.mergeable = True
