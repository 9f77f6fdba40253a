"""Why each page that was read does not merge, by the kernel's rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.pages import Bit, Mask, Pages
from ksmtrace.estimate.settled import Contents, Rules, contents, distinct
from ksmtrace.why.reason import Reason

Counts = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Decided:
    """What holds of each page of a process, arrays of shape (n,).

    Attributes:
        reasons: `Reason`.
        equal: how many other pages are equal to it now, in its process or mergeable in another.
    """

    reasons: Codes
    equal: Counts


def decide(own: Pages, others: Pages, mappings: Counts, rules: Rules) -> Decided:
    """The reason for each page of `own`.

    Args:
        own: the process's pages, mergeable or not.
        others: mergeable pages of other processes.
        mappings: how often the frame of each page is mapped, first those of `own`; shape (n + m,).
        rules: the tunables.
    """
    pool = Pages.joined([own, others])
    count = len(own)
    reasons = np.full(len(pool), Reason.UNIQUE, dtype=np.int8)
    advised = np.flatnonzero(pool.has(Bit.ADVISED))
    reasons[advised] = _of_contents(pool[advised], mappings[advised], rules)
    for reason, bit in (
        (Reason.CHANGING, Bit.CHANGED),
        (Reason.MERGED, Bit.MERGED),
        (Reason.HUGE, Bit.HUGE),
        (Reason.UNREAD, Bit.UNREAD),
    ):
        reasons[pool.has(bit)] = reason
    reasons[~pool.has(Bit.ADVISED)] = Reason.NOT_ADVISED
    return Decided(reasons[:count], _equal(pool)[:count])


def _of_contents(pages: Pages, mappings: Counts, rules: Rules) -> Codes:
    """The reasons of mergeable pages, as far as they are of what they hold."""
    found = contents(pages, rules)
    reasons = np.full(len(pages), Reason.UNIQUE, dtype=np.int8)
    has = found.of >= 0
    merges = found.merging & (_has_room(pages, found, mappings, rules) | ~_is_merged(pages, found))
    for reason, of_contents in (
        (Reason.FORKED, (found.frames == 1) & ~found.merging),
        (Reason.CHAIN_FULL, found.merging & ~merges),
        (Reason.WAITING, merges),
    ):
        reasons[has] = np.where(of_contents[found.of[has]], reason, reasons[has])
    alone = (reasons == Reason.FORKED) & ~pages.has(Bit.FORKED)
    reasons[alone] = Reason.UNIQUE
    if rules.use_zero_pages:
        reasons[pages.has(Bit.ZERO)] = Reason.WAITING
    return reasons


def _is_merged(pages: Pages, found: Contents) -> Mask:
    """Which contents have a KSM page, shape (c,)."""
    merged = np.zeros(len(found.pages), dtype=np.bool_)
    merged[found.of[(found.of >= 0) & pages.has(Bit.MERGED)]] = True
    return merged


def _has_room(pages: Pages, found: Contents, mappings: Counts, rules: Rules) -> Mask:
    """Of which contents a page finds another to merge with; shape (c,).

    A KSM page that is not full, or two frames that are none, which make a new one.
    """
    merged = (found.of >= 0) & pages.has(Bit.MERGED)
    rest = (found.of >= 0) & ~pages.has(Bit.MERGED)
    room = distinct(found.of[rest], pages.frame[rest], len(found.pages)) > 1
    room[found.of[merged & (mappings < rules.max_page_sharing)]] = True
    return room


def _equal(pool: Pages) -> Counts:
    """How many others are equal to each page, in another frame or merged with it; shape (n,)."""
    found = contents(pool, Rules())
    has = found.of >= 0
    equal = np.zeros(len(pool), dtype=np.int64)
    counts = np.where(found.merging, found.pages - 1, 0)
    equal[has] = counts[found.of[has]]
    return equal


def held(now: Decided, before: Decided, passes: int, *, smart_scan: bool) -> Mask:
    """Which pages ksmd came by often enough to have merged, and has not; shape (n,).

    A pass ends and another begins between the looks: of n that ended n - 1 were whole.

    Args:
        now: at the last look.
        before: at the first.
        passes: that ksmd ended in between.
        smart_scan: ksmd passes over pages that did not merge (should_skip_rmap_item, 6.7).
    """
    needed = PASSES_TO_MERGE * (_MOST_SKIPPED if smart_scan else 1) + 1
    waited: Mask = (now.reasons == Reason.WAITING) & (before.reasons == Reason.WAITING)
    return waited if passes >= needed else np.zeros_like(waited)


PASSES_TO_MERGE = 3
"""One to see the checksum, one to enter the unstable tree, one to be found there."""
_MOST_SKIPPED = 9
"""Of so many passes ksmd looks at least at one (skip_age of mm/ksm.c: 8 skipped)."""
