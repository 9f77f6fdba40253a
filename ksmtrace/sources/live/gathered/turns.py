"""What became of each item in its own turn, though it was looked at as the batch ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import true_rows
from ksmtrace.sources.live.gathered.chunk import IN_STABLE, IN_UNSTABLE, NEITHER, Ints
from ksmtrace.sources.live.gathered.own import BETWEEN, FROM_REMOVAL, IN_TREE, Own
from ksmtrace.sources.live.gathered.places import BODY, DONE, FREED, PLACE_SHIFT, REMOVED, SKIPPED
from ksmtrace.sources.live.gathered.population import Items
from ksmtrace.sources.live.gathered.removed_nodes import RemovedNodes
from ksmtrace.sources.live.gathered.visit import Visit

_LAST_KEY = np.iinfo(np.int64).max
Bools = npt.NDArray[np.bool_]


class Removals(NamedTuple):
    """Stable nodes removed in a batch, by node; of one removed twice, the first time.

    Attributes:
        node: ascending.
        key: where.
    """

    node: npt.NDArray[np.uint64]
    key: Ints

    def of(self, heads: npt.NDArray[np.uint64]) -> Ints:
        """When the node of each went; after everything for those that did not."""
        if not len(self.node):
            return np.full(len(heads), _LAST_KEY)
        rows = np.minimum(np.searchsorted(self.node, heads), len(self.node) - 1)
        return np.where(self.node[rows] == heads, self.key[rows], _LAST_KEY)


@dataclass(slots=True)
class Turns:
    """The items of a visit, each in its own turn.

    Attributes:
        before: trees as the turn began.
        head_before: stable nodes then.
        after: trees as it ended.
        head: stable nodes then.
        removed: whether the item's own removal from its tree is recorded.
        removed_key: where.
        unexplained: whether the item is in the stable tree, and no append says how it came there.
        rmap_item: addresses of the items in the kernel; 0 for those that nothing has told.
        checksum: as the turn ended.
    """

    before: npt.NDArray[np.uint8]
    head_before: npt.NDArray[np.uint64]
    after: npt.NDArray[np.uint8]
    head: npt.NDArray[np.uint64]
    removed: Bools
    removed_key: Ints
    unexplained: Bools
    rmap_item: npt.NDArray[np.uint64]
    checksum: npt.NDArray[np.uint32]


def without_stale(items: Items, removed: RemovedNodes) -> None:
    """Items whose node went in an earlier batch are in no tree."""
    if len(removed):
        stale = (items.tree == IN_STABLE) & removed.had(items.head, items.since)
        items.tree[stale] = NEITHER
        items.head[stale] = 0


def node_keys(own: Own, visited: Visit, freed: Items, freed_key: Ints) -> Ints:
    """Where ksmd's removals of stable nodes go; for its other records, in the body of the turn.

    Args:
        own: ksmd's records.
        visited: the items, stale ones in no tree.
        freed: likewise.
        freed_key: where those are freed, ascending.
    """
    found = (np.maximum(own.place, 0) << PLACE_SHIFT) + BODY + 4 * own.row
    nodes = true_rows(own.where(kinds.REMOVE_STABLE_NODE))
    if not len(nodes):
        return found
    before, skipped = visited.before, visited.walk.skipped
    sharers = true_rows(freed.tree == IN_STABLE)
    latest = 0
    for row in nodes.tolist():
        at, node, flags = int(own.cursor[row]), own.aux[row], int(own.flags[row])
        mine = at >= 0 and before.tree[at] == IN_STABLE and before.head[at] == node
        place = int(own.place[row])
        if flags & FROM_REMOVAL and mine:
            if skipped[at]:
                found[row] = (place << PLACE_SHIFT) + SKIPPED + 2
        elif flags & FROM_REMOVAL and len(of := sharers[freed.head[sharers] == node]):
            # While others mapped its page, the node outlived sharers that were freed.
            keys = freed_key[of]
            after = keys[keys >= max(latest, place << PLACE_SHIFT)]
            found[row] = latest = (after[0] if len(after) else keys[-1]) + 1
        elif flags & (BETWEEN | FROM_REMOVAL):
            found[row] = (place + 1 << PLACE_SHIFT) + FREED - 1
    return found


def removals(node: npt.NDArray[np.uint64], key: Ints) -> Removals:
    """Those of a batch, in any order."""
    order = np.lexsort((key, node))
    nodes, first = np.unique(node[order], return_index=True)
    return Removals(nodes, key[order][first])


def leave_stale(freed: Items, freed_key: Ints, gone: Removals) -> None:
    """Freed items whose node went before them in this batch were in no tree."""
    if len(gone.node):
        stale = (freed.tree == IN_STABLE) & (gone.of(freed.head) < freed_key)
        freed.tree[stale] = NEITHER
        freed.head[stale] = 0


def turns(own: Own, visited: Visit, gone: Removals) -> Turns:
    """What became of each item of the visit in its own turn."""
    walk, known = visited.walk, visited.before
    start = visited.place << PLACE_SHIFT
    before, head_before = known.tree.copy(), known.head.copy()
    if len(gone.node):
        stale = (before == IN_STABLE) & (gone.of(head_before) < start + SKIPPED)
        before[stale], head_before[stale] = NEITHER, 0
    after = walk.tree.copy()
    stays = before == IN_STABLE
    head = np.where(stays, head_before, np.uint64(0))
    appended = np.zeros(len(after), dtype=bool)
    explained = stays.copy()
    if len(own.row):
        partner = own.partner
        appends = own.where(kinds.STABLE_APPEND) & (own.item >= 0)
        mine = appends & ~partner
        at = own.item[mine]
        appended[at] = True
        after[at], head[at] = IN_STABLE, own.aux[mine]
        taken = own.item[_merged_partners(own) & (own.item >= 0)]
        after[taken], head[taken] = IN_UNSTABLE, 0
        explained[own.item[appends]] = True
    if len(gone.node):
        # Its node went later in the batch. Had it left it in its own turn, it would have had a
        # checksum computed: an unchanged one says that it stayed.
        left = stays & (after == NEITHER) & ~appended
        left &= gone.of(head_before) >= start + DONE
        left &= walk.says_checksum & (walk.checksum == known.checksum)
        after[left] = IN_STABLE
    head[after != IN_STABLE] = 0
    removed = (before != NEITHER) & ~(stays & (after == IN_STABLE) & ~appended)
    removed_key = start + np.where(walk.skipped, SKIPPED + 1, REMOVED)
    if len(own.row):
        _place_removals(own, visited, removed, removed_key, head_before)
    return Turns(
        before,
        head_before,
        after,
        head,
        removed,
        removed_key,
        (walk.tree == IN_STABLE) & ~explained & (walk.head == 0),
        np.where(walk.rmap_item != 0, walk.rmap_item, known.rmap_item),
        np.where(walk.says_checksum, walk.checksum, known.checksum),
    )


def _merged_partners(own: Own) -> Bools:
    """Records that say that a partner left the unstable tree, merged."""
    merged = (own.where(kinds.TRY_TO_MERGE_ONE_PAGE) & own.ok) | own.where(kinds.STABLE_APPEND)
    return merged & own.partner


def partners_removed(own: Own) -> Bools:
    """Attempts by which a partner left the unstable tree."""
    return own.where(kinds.TRY_TO_MERGE_ONE_PAGE) & own.ok & own.partner


def _place_removals(
    own: Own,
    visited: Visit,
    removed: Bools,
    removed_key: Ints,
    head_before: npt.NDArray[np.uint64],
) -> None:
    """Put each item's removal before the first of its turn's records that follow it.

    A node whose page the search found gone has taken the flag of the item itself: of that item no
    removal is recorded.
    """
    in_turn = own.cursor >= 0
    nodes = own.where(kinds.REMOVE_STABLE_NODE)
    from_removal = own.flags & FROM_REMOVAL != 0
    own_node = np.zeros(len(nodes), dtype=bool)
    own_node[in_turn] = head_before[own.cursor[in_turn]] == own.aux[in_turn]
    searched = nodes & in_turn & ~from_removal & (own.flags & BETWEEN == 0)
    removed[own.cursor[searched & own_node]] = False
    others = (own.kind != kinds.COW_FAULT) & (own.kind != kinds.REPLACE_PAGE)
    of_nodes = (from_removal & own_node) | (searched & (own.flags & IN_TREE == 0))
    follows = np.where(nodes, of_nodes, others)
    rows = true_rows(follows & in_turn)
    cursors, first = np.unique(own.cursor[rows], return_index=True)
    at = visited.place[cursors]
    skipped = visited.walk.skipped[cursors]
    found = (at << PLACE_SHIFT) + BODY + 4 * own.row[rows[first]] - 1
    removed_key[cursors] = np.where(skipped, removed_key[cursors], found)


def at_end(own: Own, visited: Visit, clock: int, turned: Turns) -> Items:
    """The items of the visit as the batch ended.

    Args:
        own: ksmd's records.
        visited: the visit.
        clock: that of row 0.
        turned: what came out of each turn.
    """
    walk = visited.walk
    head = np.where(walk.head != 0, walk.head, turned.head_before)
    since = visited.before.since.copy()
    rows = true_rows(own.where(kinds.STABLE_APPEND) & (own.item >= 0))
    head[own.item[rows]] = own.aux[rows]
    since[own.item[rows]] = clock + own.row[rows]
    head[walk.tree != IN_STABLE] = 0
    return Items(
        walk.vpn,
        turned.rmap_item,
        walk.tree,
        turned.checksum,
        head,
        since,
    )


def merged_with(flags: npt.NDArray[np.uint8], ok: Bools) -> Bools:
    """Which attempts replaced a page: they succeeded, for a KSM page other than the page itself."""
    kpage: Bools = (flags & Flag.HAS_KPAGE != 0) & (flags & Flag.SAME_PAGE == 0)
    return ok & kpage
