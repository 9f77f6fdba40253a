"""Splitting huge pages (mm/huge_memory.c), which ksmd does before it merges a part of one."""

from __future__ import annotations

from ksmtrace.engine.machine.memory import Compound, Frame, Memory


def split_huge_page(memory: Memory, page: Frame) -> bool:
    """Make single pages of the huge page that `page` belongs to (split_huge_page, all versions).

    From 6.12 on, parts that hold only zeroes are mapped to the shared zero page while the page is taken apart
    (try_to_map_unused_to_zeropage), `page` itself included.

    Returns:
        False when somebody beside the caller holds the huge page; nothing has changed then.
    """
    compound = page.compound
    assert compound is not None, "the caller has looked"
    held = sum(frame.references for frame in compound.frames)
    if memory.variant.split_needs_sole_reference and held != 1:
        return False
    for frame in compound.frames:
        frame.compound = None
    for mm in memory.mms:
        if any(mm.ptes.get(compound.vpn + i) is f for i, f in enumerate(compound.frames)):
            mm.tables.add(compound.vpn)
    if memory.variant.split_unmaps_zero_pages:
        _map_to_zero_page(memory, compound)
    return True


def _map_to_zero_page(memory: Memory, compound: Compound) -> None:
    empty = [
        (compound.vpn + index, frame)
        for index, frame in enumerate(compound.frames)
        if frame.mapcount and frame.data is memory.pool.zero
    ]
    for mm in memory.mms:
        for vpn, frame in empty:
            if mm.ptes.get(vpn) is frame:
                memory.map_frame(mm, vpn, memory.zero_page)
