"""What ksmd does with many pages at once, found out before anything is changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.bulk_result import Done, Mask
from ksmtrace.engine.bulk.columns import Columns, State
from ksmtrace.engine.bulk.content_index import ContentIndex
from ksmtrace.engine.ksm.smart_scan import NEVER_SKIPPED_BELOW
from ksmtrace.engine.machine.page_table import BLOCK_SHIFT

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm


@dataclass(slots=True)
class Decisions:
    """What is to be done with neighbouring pages, up to the first that must be examined alone.

    Attributes:
        slots: which pages; fewer than asked for, if one must be examined alone.
        done: `Done` of each.
        checksum: of each that is neither skipped nor a KSM page, the checksum of what it contains
            now.
        partner: for PAIRED pages, the slot of the page that waits in the unstable tree; else -1.
        node: for SHARED pages, the number of the stable node, or -2 minus the index in `slots` of
            the PAIRED page that makes it.
    """

    slots: slice
    done: npt.NDArray[np.uint8]
    checksum: npt.NDArray[np.uint32]
    partner: npt.NDArray[np.int32]
    node: npt.NDArray[np.int32]

    def cut(self, count: int) -> Decisions:
        """Of the first `count` pages."""
        slots = slice(self.slots.start, self.slots.start + count)
        return Decisions(
            slots,
            self.done[:count],
            self.checksum[:count],
            self.partner[:count],
            self.node[:count],
        )


def decide(ksm: Ksm, index: ContentIndex, slots: slice, *, alone: bool) -> Decisions:
    """What cmp_and_merge_page does with the pages of these slots, one after the other.

    Args:
        ksm: all of ksmd's state.
        index: its index.
        slots: neighbouring slots of frozen blocks of one process, in one mergeable mapping.
        alone: pages that are no KSM pages cannot be decided on; the first of them ends the
            decisions.
    """
    columns = index.columns
    state, content = columns.state[slots], columns.content[slots]
    plain = (state == State.ALONE) | (state == State.UNSTABLE)
    if alone:
        found = np.flatnonzero(plain)
        if len(found):
            slots = slice(slots.start, slots.start + int(found[0]))
        return _of_ksm_pages(columns.state[slots], slots)
    decisions = _of_ksm_pages(state, slots)
    skipped = _skipped(ksm, columns, slots, plain)
    look = np.flatnonzero(plain & ~skipped)
    decisions.done[skipped] = Done.SKIPPED
    if not len(look):
        return decisions
    numbers = content[look]
    decisions.checksum[look] = index.pool.checksums(numbers)
    changed = decisions.checksum[look] != columns.oldchecksum[slots][look]
    end = _decide_on_candidates(ksm, index, decisions, look, numbers, changed)
    return decisions if end is None else decisions.cut(end)


def _of_ksm_pages(state: npt.NDArray[np.uint8], slots: slice) -> Decisions:
    done = np.where(state == State.KSM, np.uint8(Done.SETTLED), np.uint8(Done.NOTHING))
    count = len(done)
    none = np.full(count, -1, np.int32)
    return Decisions(slots, done, np.zeros(count, np.uint32), none, none.copy())


def _skipped(ksm: Ksm, columns: Columns, slots: slice, plain: Mask) -> Mask:
    if not ksm.tunables["smart_scan"]:
        return np.zeros(len(plain), np.bool_)
    old = columns.age[slots] >= NEVER_SKIPPED_BELOW
    skipped: Mask = plain & old & (columns.remaining_skips[slots] > 0)
    return skipped


def _decide_on_candidates(
    ksm: Ksm,
    index: ContentIndex,
    decisions: Decisions,
    look: npt.NDArray[np.intp],
    numbers: npt.NDArray[np.int32],
    changed: Mask,
) -> int | None:
    # Returns where the decisions end, if not with the last page.
    node = index.stable[numbers]
    # Up to 6.10 the stable tree is searched before the checksum is looked at.
    shares = node >= 0 if not ksm.variant.checks_before_stable_tree else (node >= 0) & ~changed
    partner = np.where(changed | shares, np.int32(-1), index.unstable[numbers])
    done = np.where(changed, np.uint8(Done.CHANGED), np.uint8(Done.JOINED))
    done[shares] = Done.SHARED
    done[partner >= 0] = Done.PAIRED
    decisions.done[look] = done
    decisions.partner[look] = partner
    decisions.node[look] = np.where(shares, node, np.int32(-1))
    room = _Room(ksm, index)
    # Since 6.11 the zero page is tried before the stable tree is searched.
    out = changed if ksm.variant.checks_before_stable_tree else changed | shares
    ends = [room.first_without(decisions), _first_zero_page(ksm, decisions, look, out)]
    thawed = partner[partner >= 0]
    if len(thawed) and not index.columns.frozen[thawed >> BLOCK_SHIFT].all():
        here = look[partner >= 0]
        ends.append(int(here[~index.columns.frozen[thawed >> BLOCK_SHIFT]][0]))
    ends.append(_decide_on_twins(ksm, index, decisions, look, numbers, changed, shares))
    if index.hazards:
        ends.append(_first_hazard(ksm, index, decisions, look, numbers, changed))
    found = [end for end in ends if end is not None]
    return min(found) if found else None


def _first_hazard(
    ksm: Ksm,
    index: ContentIndex,
    decisions: Decisions,
    look: npt.NDArray[np.intp],
    numbers: npt.NDArray[np.int32],
    changed: Mask,
) -> int | None:
    # The tree is as it is now up to the first new node, with which it may turn.
    met = index.hazards.meet(ksm.stable_roots[0], index.pool.units_of(numbers))
    if ksm.variant.checks_before_stable_tree:
        met &= ~changed
    first = look[met][:1].tolist()
    new = np.flatnonzero(decisions.done == Done.PAIRED)[:1] + 1
    return min(first + new.tolist(), default=None)


def _first_zero_page(
    ksm: Ksm, decisions: Decisions, look: npt.NDArray[np.intp], out: Mask
) -> int | None:
    if not ksm.tunables["use_zero_pages"]:
        return None
    pool = ksm.memory.pool
    empty = look[~out & (decisions.checksum[look] == pool.checksum(pool.zero))]
    return int(empty[0]) if len(empty) else None


def _decide_on_twins(
    ksm: Ksm,
    index: ContentIndex,
    decisions: Decisions,
    look: npt.NDArray[np.intp],
    numbers: npt.NDArray[np.int32],
    changed: Mask,
    shares: Mask,
) -> int | None:
    """Pages that are equal to an earlier one of these pages: what is done with that one counts."""
    early = ksm.variant.checks_before_stable_tree
    asks = ~shares & ~changed if early else ~shares
    at, of = look[asks], numbers[asks]
    # Whoever comes last of its equals is found where it has left its place.
    scratch = index.scratch
    scratch[of] = np.arange(len(of), dtype=np.int32)
    others = of[scratch[of] != np.arange(len(of))]
    if not len(others):
        return None
    scratch[of] = 0
    scratch[others] = 1
    twins = scratch[of] == 1
    limit = ksm.tunables["max_page_sharing"] if ksm.variant.chains else 1 << 60
    done, partner = decisions.done, decisions.partner
    waiting: dict[int, int] = {}
    made: dict[int, list[int]] = {}
    for page, content in zip(at[twins].tolist(), of[twins].tolist(), strict=True):
        pair = made.get(content)
        if pair is not None:
            if pair[1] == limit:
                return int(page)
            pair[1] += 1
            done[page] = Done.SHARED
            partner[page] = -1
            decisions.node[page] = -2 - pair[0]
        elif done[page] == Done.PAIRED:
            made[content] = [page, 2]
        elif done[page] == Done.JOINED:
            slot = waiting.pop(content, None)
            if slot is None:
                waiting[content] = decisions.slots.start + page
            else:
                done[page] = Done.PAIRED
                partner[page] = slot
                made[content] = [page, 2]
    return None


class _Room:
    """Which stable nodes can take how many more rmap_items (is_page_sharing_candidate)."""

    def __init__(self, ksm: Ksm, index: ContentIndex) -> None:
        self._limit = ksm.tunables["max_page_sharing"] if ksm.variant.chains else 1 << 60
        self._sharers = index.columns.nodes.sharers

    def first_without(self, decisions: Decisions) -> int | None:
        """The first page that would share one which has no sharers, or no room for another."""
        at = np.flatnonzero(decisions.done == Done.SHARED)
        wanted = decisions.node[at]
        numbers, counts = np.unique(wanted, return_counts=True)
        sharers = self._sharers[numbers].astype(np.int64)
        # Entries that a fork has copied are adopted beyond the limit.
        room = np.where(sharers > 0, np.maximum(self._limit - sharers, 0), 0)
        full = counts > room
        return min(
            (
                int(at[wanted == number][left])
                for number, left in zip(numbers[full].tolist(), room[full].tolist(), strict=True)
            ),
            default=None,
        )
