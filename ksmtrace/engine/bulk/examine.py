"""The scan of many pages at once: neighbours in frozen blocks, of one process and one mapping.

What is done is what `scan.cmp_and_merge_page` would do with them one by one. A page for which that
takes a walk, or more than is written here, is left to it: one that meets the zero page under
use_zero_pages, a full KSM page or a partner in a thawed block, or whose search comes by a chain or
a node without its page.
"""

from __future__ import annotations

import numpy as np

from ksmtrace.engine.bulk.ageing import grow_older
from ksmtrace.engine.bulk.bulk_result import BulkResult, Done, Mask, Partners, report
from ksmtrace.engine.bulk.columns import Columns, State
from ksmtrace.engine.bulk.comparisons import count_comparisons
from ksmtrace.engine.bulk.content_index import ContentIndex
from ksmtrace.engine.bulk.decide import Decisions, decide
from ksmtrace.engine.bulk.merge_many import merge_many
from ksmtrace.engine.ksm.rmap_list import free_rmap_items
from ksmtrace.engine.ksm.state import FIRST_KEY, STRUCT_SIZE, Ksm
from ksmtrace.engine.machine.memory import Mm
from ksmtrace.engine.machine.page_table import BLOCK_SHIFT, BLOCK_SIZE, Block

_MOST = 8192
"""More pages do not fit the cache."""
_MOST_WITH_HAZARDS = 1024
"""With hazards about, the first new pair ends the decisions: the rest would be thrown away."""


def examine_many(ksm: Ksm, index: ContentIndex, npages: int) -> int | None:
    """Examine up to `npages` candidates from the cursor on.

    Returns:
        How many; 0 when the next page must be examined alone, None when the process has no page
        left to examine.
    """
    scan = ksm.scan
    mm = scan.slot.mm
    assert mm is not None, "the cursor is not at the head"
    if mm.exited or ksm.tunables["merge_across_nodes"] != 1:
        return 0
    npages = min(npages, _MOST_WITH_HAZARDS if index.hazards else _MOST)
    while (place := _next_block(mm, scan.vpn)) is not None:
        block, vpn, end = place
        examined = _examine_run(ksm, index, block, vpn, min(end - vpn, npages))
        if examined is None:
            index.columns.one_by_one = block
            return 0
        if examined:
            return examined
    scan.vpn = max([scan.vpn, *(vma.end for vma in mm.vmas if vma.mergeable)])
    return None


def _examine_run(ksm: Ksm, index: ContentIndex, block: Block, vpn: int, most: int) -> int | None:
    # Examines pages from `vpn` on, up to `most`; returns how many candidates, or None if the first
    # must be examined alone.
    scan, mm = ksm.scan, block.mm
    if index.columns.one_by_one is block or not _is_frozen(index, block):
        return None
    slot = block.number << BLOCK_SHIFT | vpn - block.first
    slots = slice(slot, slot + _reach(index, block, vpn, most))
    present = np.flatnonzero(index.columns.state[slots] >= State.ALONE)
    if not len(present):
        scan.vpn = vpn + slots.stop - slots.start
        return 0
    free_rmap_items(ksm, mm, scan.rmap_from, vpn + int(present[0]))
    if not block.frozen:
        return None
    index.make_room()
    alone = index.disturbed or index.built or index.hazards.too_many()
    decisions = decide(ksm, index, slots, alone=alone)
    if not len(decisions.done):
        return None
    scan.vpn = vpn + len(decisions.done)
    return _carry_out(ksm, index, mm, vpn, decisions)


def _next_block(mm: Mm, vpn: int) -> tuple[Block, int, int] | None:
    # The next block with pages that ksmd may look at, the first of these pages, and the end of
    # their mapping.
    blocks = mm.ptes.blocks
    for vma in mm.vmas:
        if not vma.mergeable or vma.end <= vpn:
            continue
        vpn = max(vpn, vma.start)
        while vpn < vma.end:
            block = blocks.get(vpn >> BLOCK_SHIFT)
            if block is not None:
                return block, vpn, vma.end
            vpn = (vpn | BLOCK_SIZE - 1) + 1
    return None


def _is_frozen(index: ContentIndex, block: Block) -> bool:
    # Out of order, the unstable tree is made of rmap_items.
    return block.frozen or not (index.disturbed or index.built or not index.columns.freeze(block))


def _reach(index: ContentIndex, block: Block, vpn: int, most: int) -> int:
    # How many slots from `vpn` on, up to `most`, belong to neighbouring pages in frozen blocks.
    reach = block.first + BLOCK_SIZE - vpn
    blocks = block.mm.ptes.blocks
    while reach < most:
        following = blocks.get(vpn + reach >> BLOCK_SHIFT)
        if (
            following is None
            or following.number != block.number + 1
            or not _is_frozen(index, following)
        ):
            break
        block = following
        reach += BLOCK_SIZE
    return min(reach, most)


def _carry_out(ksm: Ksm, index: ContentIndex, mm: Mm, vpn: int, decisions: Decisions) -> int:
    # Returns how many candidates there were.
    columns, slots, done = index.columns, decisions.slots, decisions.done
    seen = int(np.count_nonzero(done))
    if not seen:
        return 0
    ksm.scan.rmap_from = vpn + len(done)
    state = columns.state[slots]
    was_unstable = (state == State.UNSTABLE) & (done > Done.SETTLED)
    plain = done >= Done.SKIPPED
    pairs = np.flatnonzero(done == Done.PAIRED)
    node_keys = _give_keys(ksm, columns, mm, slots, plain, pairs)
    partners = _partners(columns, decisions.partner[pairs])
    oldchecksum, pfn = columns.oldchecksum[slots].copy(), columns.pfn[slots].copy()
    if ksm.tunables["smart_scan"]:
        grow_older(columns.age[slots], columns.remaining_skips[slots], plain)
    _leave_and_join(ksm, index, decisions, was_unstable)
    made = merge_many(ksm, index, mm, decisions, node_keys)
    if index.counting:
        count_comparisons(ksm, index, decisions, made)
    else:
        index.unplaced += made
    skipped = int(np.count_nonzero(done == Done.SKIPPED))
    ksm.counters.pages_skipped += skipped
    ksm.counters.pages_scanned += seen - skipped
    node = columns.node[slots]
    # A page that joined the unstable tree may have met its partner since, among these very pages.
    in_stable = (done == Done.SETTLED) | (done >= Done.SHARED)
    kpfn = np.where(in_stable, columns.nodes.kpfn[node], np.uint32(0))
    settled = done == Done.SETTLED
    pfn[settled] = kpfn[settled]
    report(
        ksm.watcher,
        BulkResult(
            mm=mm,
            first=vpn,
            done=done,
            was_unstable=was_unstable,
            pfn=pfn,
            key=columns.key[slots],
            oldchecksum=oldchecksum,
            checksum=columns.oldchecksum[slots],
            node_key=np.where(in_stable, columns.nodes.key[node], np.uint64(0)),
            kpfn=kpfn,
            partners=partners,
        ),
    )
    return seen - skipped


def _partners(columns: Columns, slots: np.ndarray) -> Partners:
    block = slots >> BLOCK_SHIFT
    return Partners(
        columns.mm_key[block],
        columns.first[block] + (slots & BLOCK_SIZE - 1).astype(np.uint64),
        columns.pfn[slots],
        columns.key[slots],
    )


def _give_keys(
    ksm: Ksm, columns: Columns, mm: Mm, slots: slice, plain: Mask, pairs: np.ndarray
) -> list[int]:
    # rmap_items for the pages that have none, and stable nodes for the pairs; returns the keys of
    # these.
    new = plain & (columns.key[slots] == 0)
    made = new.astype(np.int64)
    made[pairs] += 1
    last = np.cumsum(made)
    count = int(last[-1])
    steps = np.arange(first := ksm.new_keys(count), first + count, dtype=np.uint64)
    keys = np.uint64(FIRST_KEY) + steps * np.uint64(STRUCT_SIZE)
    at = np.flatnonzero(new)
    columns.key[slots][at] = keys[last[at] - made[at]]
    ksm.counters.rmap_items += len(at)
    mm.ksm_rmap_items += len(at)
    of_nodes: list[int] = keys[last[pairs] - 1].tolist()
    return of_nodes


def _leave_and_join(
    ksm: Ksm, index: ContentIndex, decisions: Decisions, was_unstable: Mask
) -> None:
    # The old unstable tree is left, the new one is joined; what joins and leaves it goes into the
    # log, in order.
    columns, slots, done = index.columns, decisions.slots, decisions.done
    state = columns.state[slots]
    state[done >= Done.SKIPPED] = State.ALONE
    changed = np.flatnonzero(done == Done.CHANGED)
    columns.oldchecksum[slots][changed] = decisions.checksum[changed]
    joined = np.flatnonzero(done == Done.JOINED)
    state[joined] = State.UNSTABLE
    columns.seqnr[slots][joined] = ksm.scan.seqnr & 0xFF
    ksm.counters.pages_unshared += len(joined) - int(np.count_nonzero(was_unstable))
    numbers = columns.content[slots]
    index.unstable[numbers[joined]] = joined + slots.start
    asks = numbers[(done == Done.JOINED) | (done == Done.PAIRED)]
    ksm.counters.comparisons += index.log.join_or_leave_many(asks)
