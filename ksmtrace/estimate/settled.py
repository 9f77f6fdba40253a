"""What KSM's gauges are once ksmd has settled on pages whose contents are known.

The rules are those of cmp_and_merge_page (mm/ksm.c): equal pages become one KSM page, except those
that are one frame already (a fork's), which the unstable tree takes for one page; a KSM page has
at most max_page_sharing mappings; a page that changes between two looks is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Bit, Mask, Pages

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rules:
    """On what it depends which pages merge: tunables, and the kernel's version.

    Attributes:
        max_page_sharing, use_zero_pages: the tunables.
        split_unmaps_zero_pages: when a huge page is split, for one of its pages to merge, those
            that hold only zeroes become the zero page, and KSM does not count them
            (try_to_map_unused_to_zeropage of mm/migrate.c, 6.12).
    """

    max_page_sharing: int = 256
    use_zero_pages: bool = False
    split_unmaps_zero_pages: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """Gauges of /sys/kernel/mm/ksm once settled, in pages.

    Attributes:
        rmap_items: pages that ksmd keeps track of.
        unmapped_zero_pages: pages of zeroes that become the zero page because a huge page is split.
        frames_freed: frames that are free then and are not now; None where frames are not known.
            Pages that a fork shares are one frame before, and KSM counts them all the same.
    """

    pages_shared: int
    pages_sharing: int
    pages_unshared: int
    pages_volatile: int
    ksm_zero_pages: int
    stable_node_chains: int
    rmap_items: int
    unmapped_zero_pages: int
    frames_freed: int | None

    @property
    def saved_pages(self) -> int:
        """By shared pages and zero pages, as the kernel counts them."""
        return self.pages_sharing + self.ksm_zero_pages


@dataclass(frozen=True, slots=True)
class Contents:
    """The distinct contents of pages that stay as they are: arrays of length c, and one of n.

    Attributes:
        of: for each page its content's place among them, -1 for one that merges with none: it
            changes, is not read, or becomes the zero page. Shape (n,).
        pages: pages of each content.
        frames: distinct frames of each content; all its pages where frames are not known.
        merging: whether it has two frames or more, or a KSM page.
    """

    of: Counts
    pages: Counts
    frames: Counts
    merging: Mask


def zero_pages(pages: Pages, rules: Rules) -> Mask:
    """Which pages become the zero page, shape (n,)."""
    if not rules.use_zero_pages:
        return np.zeros(len(pages), dtype=np.bool_)
    return pages.has(Bit.ZERO) & ~_unsteady(pages)


def contents(pages: Pages, rules: Rules) -> Contents:
    """The contents by which pages merge."""
    steady = np.flatnonzero(~(_unsteady(pages) | zero_pages(pages, rules)))
    of = np.full(len(pages), -1, dtype=np.int64)
    place, counts = _counted(pages.hash[steady])
    of[steady] = place
    shared = (pages.has(Bit.FORKED) | pages.has(Bit.MERGED))[steady]
    in_common = np.bincount(place[shared], minlength=len(counts))
    frames = counts - in_common
    frames += distinct(place[shared], pages.frame[steady][shared], len(counts))
    merged = np.zeros(len(counts), dtype=np.bool_)
    merged[place[pages.has(Bit.MERGED)[steady]]] = True
    return Contents(of, counts, frames, (frames > 1) | (merged & (counts > 1)))


def _counted(hashes: npt.NDArray[np.uint64]) -> tuple[Counts, Counts]:
    """For each page its content's place, and for each content how many pages; by value."""
    if len(hashes) and int(hashes.max()) < 4 * len(hashes):  # numbers, as `Pages.numbered` gives
        numbers = hashes.astype(np.int64)
        counts = np.bincount(numbers)
        places = np.cumsum(counts > 0) - 1
        return places[numbers], counts[counts > 0]
    _, place, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return place, counts


def _unsteady(pages: Pages) -> Mask:
    return pages.has(Bit.CHANGED) | pages.has(Bit.UNREAD)


def distinct(place: Counts, frame: npt.NDArray[np.uint64], count: int) -> Counts:
    """How many frames each content has; a page without a frame number is one of its own."""
    order = np.lexsort((frame, place))
    place, frame = place[order], frame[order]
    new = np.ones(len(place), dtype=np.bool_)
    new[1:] = (place[1:] != place[:-1]) | (frame[1:] != frame[:-1]) | (frame[1:] == 0)
    return np.bincount(place[new], minlength=count).astype(np.int64)


def stable_nodes(pages: Counts, limit: int) -> tuple[Counts, Counts]:
    """KSM pages that hold so many equal pages of a content, and pages that are left over.

    A page that finds all KSM pages of its content full waits for a second one (stable_node_dup).
    """
    left = ((pages % limit == 1) & (pages > 1)).astype(np.int64)
    return -(-(pages - left) // limit), left


def settle(pages: Pages, rules: Rules) -> Settled:
    """The gauges once ksmd has looked at these pages often enough, and they stay as they are.

    Pages are in the order in which ksmd comes by: on it depends which of several forks' frames
    becomes the KSM page, where max_page_sharing is reached.
    """
    everything = pages
    unmapped = unmapped_by_splitting(pages, rules)
    pages = pages[~unmapped]
    found = contents(pages, rules)
    zeroed = zero_pages(pages, rules)
    limit = rules.max_page_sharing
    stepwise = depends_on_order(pages, found, limit)
    many = found.pages[found.merging & ~stepwise]
    nodes, left = stable_nodes(many, limit)
    one_by_one = [_in_order(part, limit) for part in _parts(pages, found, stepwise)]
    shared = int(nodes.sum()) + sum(one.nodes for one in one_by_one)
    sharing = int((many - left - nodes).sum()) + sum(one.merged - one.nodes for one in one_by_one)
    unshared = int(np.count_nonzero(~found.merging)) + int(left.sum())
    unshared += sum(one.waiting for one in one_by_one)
    chains = int(np.count_nonzero(nodes > 1)) + sum(one.nodes > 1 for one in one_by_one)
    zeroes = int(np.count_nonzero(zeroed))
    items = len(pages) - zeroes
    freed = None
    if bool(pages.frame.all()):
        kept = int(found.frames[~found.merging].sum()) + shared + int(left.sum())
        kept += sum(one.frames_left for one in one_by_one)
        freed = int(found.frames.sum()) + len(np.unique(pages.frame[zeroed])) - kept
        freed += len(np.unique(everything.frame[unmapped]))
    return Settled(
        pages_shared=shared,
        pages_sharing=sharing,
        pages_unshared=unshared,
        pages_volatile=items - shared - sharing - unshared,
        ksm_zero_pages=zeroes,
        stable_node_chains=chains,
        rmap_items=items,
        unmapped_zero_pages=int(np.count_nonzero(unmapped)),
        frames_freed=freed,
    )


def unmapped_by_splitting(pages: Pages, rules: Rules) -> Mask:
    """Which pages become the zero page because their huge page is split, shape (n,)."""
    gone = np.zeros(len(pages), dtype=np.bool_)
    huge = pages.has(Bit.HUGE)
    empty = huge & pages.has(Bit.ZERO)
    if not rules.split_unmaps_zero_pages or not empty.any():
        return gone
    found = contents(pages, rules)
    merges = zero_pages(pages, rules)
    merges[found.of >= 0] |= found.merging[found.of[found.of >= 0]]
    block = pages.process.astype(np.uint64) << np.uint64(43) | pages.address >> np.uint64(21)
    split = np.isin(block, np.unique(block[huge & merges]))
    frames = np.unique(pages.frame[empty & split])
    gone = empty & (split | (np.isin(pages.frame, frames[frames != 0])))
    return gone


def depends_on_order(pages: Pages, found: Contents, limit: int) -> Mask:
    """Contents of which pages have a frame in common, and that need several KSM pages; shape (c,).

    Or have several now, which ksmd leaves as they are.
    """
    merged = (found.of >= 0) & pages.has(Bit.MERGED)
    now = distinct(found.of[merged], pages.frame[merged], len(found.pages))
    return (found.frames < found.pages) & found.merging & ((found.pages > limit) | (now > 1))


def _parts(pages: Pages, found: Contents, chosen: Mask) -> list[Pages]:
    """The pages of each chosen content, in their order."""
    if not chosen.any():
        return []
    wanted = np.flatnonzero((found.of >= 0) & chosen[found.of])
    wanted = wanted[np.argsort(found.of[wanted], kind="stable")]
    cuts = np.flatnonzero(np.diff(found.of[wanted])) + 1
    return [pages[part] for part in np.split(wanted, cuts)]


@dataclass(frozen=True, slots=True)
class _Outcome:
    nodes: int
    merged: int
    waiting: int
    frames_left: int


def _in_order(pages: Pages, limit: int) -> _Outcome:
    """What becomes of equal pages, one after another and again, as by cmp_and_merge_page.

    A page that maps a KSM page since its fork is taken in beyond the limit. Of two pages that meet
    in the unstable tree, the frame of the second becomes the KSM page.
    """
    frame = pages.frame.tolist()
    merged = pages.has(Bit.MERGED).tolist()
    node_of = [one if is_merged else None for one, is_merged in zip(frame, merged, strict=True)]
    sharers: dict[int, int] = {}
    for node in filter(None, node_of):
        sharers[node] = sharers.get(node, 0) + 1
    while True:
        waiting: int | None = None
        changed = False
        for at, own in enumerate(frame):
            if node_of[at] is not None:
                continue
            node = own if own in sharers else _with_room(sharers, limit)
            if node is None and waiting is None:
                waiting = at
                continue
            if node is None:
                assert waiting is not None
                if frame[waiting] == own:
                    continue
                node = own
                sharers[node] = 1
                frame[waiting] = node_of[waiting] = node
                waiting = None
            sharers[node] += 1
            frame[at] = node_of[at] = node
            changed = True
        if not changed:
            break
    rest = {one for one, node in zip(frame, node_of, strict=True) if node is None}
    return _Outcome(len(sharers), sum(sharers.values()), int(waiting is not None), len(rest))


def _with_room(sharers: dict[int, int], limit: int) -> int | None:
    """The KSM page with most mappings of those that are not full (stable_node_dup)."""
    open_ones = [(count, node) for node, count in sharers.items() if count < limit]
    return max(open_ones)[1] if open_ones else None
