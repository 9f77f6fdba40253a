"""Page faults and the splitting of huge pages (mm/memory.c, mm/huge_memory.c)."""

from __future__ import annotations

from ksmtrace.engine.machine.content import PageData
from ksmtrace.engine.machine.memory import HUGE_PAGES, Compound, Frame, Memory, Mm, Vma
from ksmtrace.engine.machine.page_table import BLOCK_MASK, Change


def read_page(memory: Memory, mm: Mm, vma: Vma, vpn: int) -> None:
    """Touch page `vpn` by reading: an untouched page becomes the shared zero page.

    do_anonymous_page.
    """
    if vpn in mm.ptes:
        return
    block = _free_block(mm, vma, vpn)
    if block is None:
        _note_table(mm, vma, vpn)
        memory.map_frame(mm, vpn, memory.zero_page)
        return
    mm.huge_zero.add(block)
    for page in range(block, block + HUGE_PAGES):
        memory.map_frame(mm, page, memory.zero_page)


def writable_page(memory: Memory, mm: Mm, vma: Vma, vpn: int) -> Frame:
    """The frame of page `vpn`, private to `mm`, as a write needs it (handle_mm_fault)."""
    frame = mm.ptes.get(vpn)
    if memory.owner is not None:
        memory.owner.page_written(mm, vpn)
    if memory.binds:
        memory.choose_node(mm, vpn)
    if frame is None:
        found = _anonymous_fault(memory, mm, vma, vpn)
    elif not frame.anon and _is_huge_zero(mm, vpn):
        found = _write_huge_zero_page(memory, mm, vma, vpn)
    elif not frame.exclusive or not frame.anon or frame.ksm:
        found = do_wp_page(memory, mm, vpn, frame, by_kernel=False)
    else:
        return frame
    if memory.anon_owner is not None:
        memory.anon_owner.write_fault(found, mm, vma, taken_over=found is frame)
    return found


def write_pages(memory: Memory, mm: Mm, vma: Vma, first: int, end: int, change: Change) -> None:
    """Write to pages `first` to `end` - 1 of `vma`, in order."""
    by_page = vma.huge or vma.nid or memory.node_of_next_page
    store = None if by_page else memory.store
    while first < end:
        stop = min(end, (first | BLOCK_MASK) + 1)
        if store is None or not store.write(mm, first, stop, change):
            for vpn in range(first, stop):
                frame = writable_page(memory, mm, vma, vpn)
                frame.data = change(vpn, frame.data)
        first = stop


def do_wp_page(memory: Memory, mm: Mm, vpn: int, frame: Frame, *, by_kernel: bool) -> Frame:
    """A write to a read-only page: copy it, or take it over when nobody else has it.

    mm/memory.c: do_wp_page.

    A KSM page is always copied, even when it is mapped only once.

    Returns:
        The frame now mapped.
    """
    if memory.binds:
        memory.choose_node(mm, vpn)
    if frame.ksm:
        result = memory.version.cow_fault_result
        memory.watcher.cow_fault(mm, vpn, frame, by_kernel=by_kernel, result=result)
        memory.cow_ksm += 1
    elif frame.anon and _take_over(memory, mm, frame):
        return frame
    compound = frame.compound
    if compound is not None:
        if memory.version.huge_cow_copies_all and compound.vpn not in mm.tables:
            return _copy_huge_page(memory, mm, compound)[vpn - compound.vpn]
        mm.tables.add(compound.vpn)
    copy = memory.new_frame(frame.data)
    memory.map_frame(mm, vpn, copy)
    return copy


def split_huge_page(memory: Memory, page: Frame) -> bool:
    """Make single pages of the huge page that `page` belongs to (split_huge_page, all versions).

    From 6.12 on, parts that hold only zeroes are mapped to the shared zero page while the page is
    taken apart (try_to_map_unused_to_zeropage), `page` itself included.

    Returns:
        False when somebody other than the caller holds the huge page; nothing has changed then.
    """
    compound = page.compound
    assert compound is not None, "the caller has looked"
    held = sum(frame.references for frame in compound.frames)
    if memory.version.split_needs_sole_reference and held != 1:
        return False
    for frame in compound.frames:
        frame.compound = None
    for mm in memory.mms:
        if any(mm.ptes.get(compound.vpn + i) is f for i, f in enumerate(compound.frames)):
            mm.tables.add(compound.vpn)
    if memory.version.split_unmaps_zero_pages:
        _map_to_zero_page(memory, compound)
    return True


def _take_over(memory: Memory, mm: Mm, frame: Frame) -> bool:
    # wp_can_reuse_anon_folio, and for a huge page mapped as one do_huge_pmd_wp_page.
    compound = frame.compound
    if compound is None:
        held = frame.references and not memory.version.reuses_pinned
        frame.exclusive = frame.mapcount == 1 and not held
        return frame.exclusive
    mapped_whole = compound.vpn not in mm.tables
    if not _is_sole_owner(mm, compound):
        return False
    if mapped_whole:
        for part in compound.frames:
            part.exclusive = True
    elif memory.version.reuses_huge_parts:
        # The last part that is mapped is copied all the same, so that the huge page can be freed.
        frame.exclusive = sum(part.mapcount for part in compound.frames) > 1
    return frame.exclusive


def _is_sole_owner(mm: Mm, compound: Compound) -> bool:
    return all(
        not part.references and part.mapcount == (mm.ptes.get(compound.vpn + index) is part)
        for index, part in enumerate(compound.frames)
    )


def _anonymous_fault(memory: Memory, mm: Mm, vma: Vma, vpn: int) -> Frame:
    block = _free_block(mm, vma, vpn)
    if block is not None:
        return _map_huge_page(memory, mm, block, [memory.pool.zero] * HUGE_PAGES)[vpn - block]
    _note_table(mm, vma, vpn)
    frame = memory.new_frame(memory.pool.zero)
    memory.map_frame(mm, vpn, frame)
    if memory.anon_owner is not None:
        memory.anon_owner.anon_fault(frame, mm, vma, vpn)
    return frame


def _write_huge_zero_page(memory: Memory, mm: Mm, vma: Vma, vpn: int) -> Frame:
    block = vpn - vpn % HUGE_PAGES
    mm.huge_zero.remove(block)
    if memory.version.huge_zero_write_allocates:
        return _map_huge_page(memory, mm, block, [memory.pool.zero] * HUGE_PAGES)[vpn - block]
    _note_table(mm, vma, vpn)
    return do_wp_page(memory, mm, vpn, memory.zero_page, by_kernel=False)


def _copy_huge_page(memory: Memory, mm: Mm, compound: Compound) -> list[Frame]:
    data = [frame.data for frame in compound.frames]
    return _map_huge_page(memory, mm, compound.vpn, data)


def _map_huge_page(memory: Memory, mm: Mm, block: int, data: list[PageData]) -> list[Frame]:
    frames = [memory.new_frame(content) for content in data]
    compound = Compound(block, frames)
    for index, frame in enumerate(frames):
        frame.compound = compound
        memory.map_frame(mm, block + index, frame)
    return frames


def _free_block(mm: Mm, vma: Vma, vpn: int) -> int | None:
    # The 2 MiB block around a fault, when a huge page fits there: nothing of it mapped by single
    # entries.
    block = vpn - vpn % HUGE_PAGES
    fits = vma.huge and vma.start <= block and block + HUGE_PAGES <= vma.end
    return block if fits and block not in mm.tables else None


def _note_table(mm: Mm, vma: Vma, vpn: int) -> None:
    if vma.huge:
        mm.tables.add(vpn - vpn % HUGE_PAGES)


def _is_huge_zero(mm: Mm, vpn: int) -> bool:
    return vpn - vpn % HUGE_PAGES in mm.huge_zero


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
