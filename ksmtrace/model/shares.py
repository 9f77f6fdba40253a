"""What each process contributes to sharing and saves by it, no page being counted twice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from ksmtrace.events.kinds import EventKind
from ksmtrace.model.departures import Departures
from ksmtrace.model.items import Ids
from ksmtrace.model.nodes import FIRST_NODE
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.session import Knowledge, Session

_FRACTION_BITS = 10
"""Of a byte: sums of the credits of 2^31 rmap_items are whole numbers below 2^53, so their order
changes nothing."""

_MOST_SPAN = 1 << 20


class Attribution(StrEnum):
    """How far the shares of processes can be believed.

    exact: all is seen. at least: not all of ksmd's state is known yet. derived: removals are not
    seen, and what has left is reckoned from the kernel's own counts.
    """

    EXACT = "exact"
    AT_LEAST = "at least"
    DERIVED = "derived"


@dataclass(frozen=True, slots=True)
class Shares:
    """Processes that have an rmap_item alive; all arrays have shape (n,) and dtype int64.

    A stable node with n rmap_items saves n - 1 pages, and each of the n is credited (n - 1) / n of
    a page.

    Attributes:
        number: `Process.number`, ascending.
        rmap_items: alive.
        merged_pages: those of them in the stable tree.
        saved_bytes: their credits; their sum is exactly that of (members - 1) pages over all nodes,
            or where removals are not seen, at most what the kernel counts.
        node_bytes: the process's part of the stable nodes themselves, credited 1 / n for each
            rmap_item.
    """

    number: Ids
    rmap_items: Ids
    merged_pages: Ids
    saved_bytes: Ids
    node_bytes: Ids


def attribution_of(session: Session, reconstruction: Reconstruction) -> Attribution | None:
    """How far shares can be believed; None where merges are not seen."""
    if not session.sees(EventKind.STABLE_APPEND) or not session.knows(Knowledge.RMAP_ITEMS):
        return None
    if not session.sees(EventKind.REMOVE_RMAP_ITEM):
        return Attribution.DERIVED
    if not session.sees(EventKind.CMP_AND_MERGE_PAGE) or not reconstruction.complete:
        return Attribution.AT_LEAST
    return Attribution.EXACT


def shares_of(reconstruction: Reconstruction) -> Shares:
    """Who saves what, of all that is known now.

    A node of which not all rmap_items are known is credited for those that are: less than it saves.
    Where removals are not seen, a process has no more merged pages than the kernel counted of it
    when it was last asked; which ones are gone is not known, so that its credit goes down in
    proportion. All credits together are not above the kernel's pages_sharing.
    """
    return reconstruction.once(_share_out)


def _share_out(reconstruction: Reconstruction) -> Shares:
    page_bytes = reconstruction.page_bytes
    alive = reconstruction.items.numbers()
    owner = reconstruction.owner[alive]
    number, which = _compact(owner)
    state = reconstruction.state[alive]
    merged = state >= FIRST_NODE
    of_merged = which[merged]
    members = reconstruction.nodes.members
    sharers = members[state[merged]]
    credit = (page_bytes << _FRACTION_BITS) * (sharers - 1) // sharers
    pages = np.bincount(of_merged, minlength=len(number))
    sums = np.bincount(of_merged, weights=credit, minlength=len(number)).astype(np.int64)
    order = np.argsort(_keys(reconstruction, number), kind="stable")
    shared = reconstruction.nodes.shared
    total = (int(members.sum()) - shared) * page_bytes
    saved = sums >> _FRACTION_BITS
    cut_off = total - int(saved.sum())
    assert 0 <= cut_off <= len(number) + (len(of_merged) >> _FRACTION_BITS), "sharers are counted"
    saved += apportion(cut_off, pages, order)
    if reconstruction.departures is not None:
        pages, saved = _less_departed(
            reconstruction.departures, page_bytes, number, pages, saved, order
        )
    return Shares(
        number=number,
        rmap_items=np.bincount(which, minlength=len(number)),
        merged_pages=pages,
        saved_bytes=saved,
        node_bytes=apportion(shared * reconstruction.node_bytes, pages * page_bytes - saved, order),
    )


def _less_departed(
    departures: Departures, page_bytes: int, number: Ids, pages: Ids, saved: Ids, order: Ids
) -> tuple[Ids, Ids]:
    """Merged pages and credits without what has left unseen."""
    left, saved = pages.copy(), saved.copy()
    for at, one in enumerate(number.tolist()):
        known, gone = int(pages[at]), departures.of.get(one, 0)
        if gone and known:
            left[at] = max(0, known - gone)
            # Python's whole numbers: bytes times pages may be beyond 64 bits
            saved[at] = int(saved[at]) * int(left[at]) // known
    if departures.pages_sharing is not None:
        most = departures.pages_sharing * page_bytes
        if int(saved.sum()) > most:
            saved = apportion(most, saved, order)
    return left, saved


def apportion(total: int, weights: Ids, order: Ids) -> Ids:
    """Whole numbers with the sum `total`, each within 1 of its weight's part.

    Remainders are given out by `order`. All are zero when the weights are.
    """
    out = np.zeros(len(weights), dtype=np.int64)
    upto = weights[order].cumsum().tolist()
    if upto and upto[-1]:
        # Python's whole numbers: total times weights may be beyond 64 bits
        cuts = [total * weight // upto[-1] for weight in upto]
        out[order] = np.diff(np.array([0, *cuts], dtype=np.int64))
    return out


def _compact(owner: Ids) -> tuple[Ids, npt.NDArray[np.intp]]:
    """Distinct owners, ascending, and for each row the place of its owner among them."""
    if not len(owner):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.intp)
    first = int(owner.min())
    if int(owner.max()) - first > _MOST_SPAN:
        return np.unique(owner, return_inverse=True)
    present = np.bincount(owner - first) > 0
    return np.flatnonzero(present) + first, (present.cumsum() - 1)[owner - first]


def _keys(reconstruction: Reconstruction, number: Ids) -> npt.NDArray[np.uint64]:
    """The mms of the processes: numbers depend on how the stream was cut, these do not."""
    mms = {process.number: process.mm for process in reconstruction.processes.known()}
    return np.array([mms.get(one, 0) for one in number.tolist()], dtype=np.uint64)
