"""Writes of whole ranges of pages: those to frozen blocks go into their columns, page by page the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ksmtrace.engine.bulk.columns import Columns, State
from ksmtrace.engine.machine.content import PageData
from ksmtrace.engine.machine.faults import writable_page
from ksmtrace.engine.machine.memory import Memory, Mm, Vma
from ksmtrace.engine.machine.page_table import BLOCK_MASK, BLOCK_SHIFT

Change = Callable[[int, PageData], PageData]
"""What a page is to contain, by its number and what it contained; untouched pages are empty."""


def write_pages(memory: Memory, mm: Mm, vma: Vma, first: int, end: int, change: Change) -> None:
    """Write to pages `first` to `end` - 1 of `vma`, in order."""
    columns, scan = memory.columns, memory.scan
    if columns is None or scan is None or vma.huge or memory.node_of_next_page:
        _write_one_by_one(memory, mm, vma, first, end, change)
        return
    while first < end:
        stop = min(end, (first | BLOCK_MASK) + 1)
        if not _write_columns(memory, columns, mm, scan.seqnr, first, stop, change):
            _write_one_by_one(memory, mm, vma, first, stop, change)
        first = stop


def _write_one_by_one(
    memory: Memory, mm: Mm, vma: Vma, first: int, end: int, change: Change
) -> None:
    for vpn in range(first, end):
        frame = writable_page(memory, mm, vma, vpn)
        frame.data = change(vpn, frame.data)


def _write_columns(
    memory: Memory, columns: Columns, mm: Mm, seqnr: int, first: int, end: int, change: Change
) -> bool:
    # A page of this pass's unstable tree, or a page that a write would copy, is not written to here.
    block = mm.ptes.blocks.get(first >> BLOCK_SHIFT)
    if block is None:
        block = mm.ptes.new_block(first)
        columns.clear(block)
    if not block.frozen:
        return False
    slot = (block.number << BLOCK_SHIFT) + first - block.first
    slots = slice(slot, slot + end - first)
    state = columns.state[slots]
    writable = (state == State.ABSENT) | (state == State.ALONE)
    writable |= (state == State.UNSTABLE) & (columns.seqnr[slots] != seqnr & 0xFF)
    if not writable.all():
        return False
    absent = np.flatnonzero(state == State.ABSENT)
    columns.content[slots][absent] = memory.pool.zero.number
    contents = memory.pool.contents
    old = [contents[number] for number in columns.content[slots].tolist()]
    new = [change(vpn, data).number for vpn, data in enumerate(old, first)]
    columns.content[slots] = new
    start = memory.new_frames(len(absent))
    columns.pfn[slots][absent] = np.arange(start, start + len(absent))
    state[absent] = State.ALONE
    return True
