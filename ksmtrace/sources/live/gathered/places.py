"""Where each record goes: a key by which the records of a batch are sorted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.sources.live.gathered.chunk import Ints

PLACE_SHIFT = 32
"""A key is a place of `Visit`, and within that place one of these, with a number added."""

OTHERS = 0
"""Records of other tasks, 2 apart by their row in the ring."""
FREED = 1 << 28
"""Items freed on the way to the place, 2 apart; behind one, the removal of its stable node."""
SKIPPED = 2 << 28
"""Smart scan passes over the item; 1 on its removal from its tree, 2 on that of its node."""
NAMED = 3 << 28
"""Name of the process."""
BODY = 4 << 28
"""ksmd's own records, 4 apart by their row in the ring: before one, the item's own removal; behind
it, what follows from it."""
REMOVED = 5 << 28
"""The item leaves its tree, where no record of its own shows when."""
DONE = 6 << 28
"""The item was examined."""
LATE = 7 << 28
"""Items freed before the next place, and before what other tasks do there."""


def keys(places: Ints, part: int) -> Ints:
    """Keys at these places."""
    return (places << PLACE_SHIFT) + part


def times(count: int, begin: int, end: int, places: Ints, ts: Ints) -> Ints:
    """The time at each place from 0 to `count` - 1, in nanoseconds.

    Even between those that are known.

    Args:
        count: number of places.
        begin: when the batch began.
        end: when it ended.
        places: of records that have a time of their own.
        ts: their times.
    """
    known, first = np.unique(places, return_index=True)
    inner = (known > 0) & (known < count)
    at = np.concatenate([[0], known[inner], [count]])
    when = np.concatenate([[begin], ts[first][inner], [max(end, begin)]]) - begin
    when = np.maximum.accumulate(np.maximum(when, 0))
    between: Ints = np.interp(np.arange(count), at, when).astype(np.int64)
    return between + begin


def others_keys(
    rows: npt.NDArray[np.intp],
    place: Ints,
    last: int,
    own_rows: npt.NDArray[np.intp],
    own: tuple[Ints, Ints],
) -> Ints:
    """Keys of other tasks' records: by their place, and as the ring has them among ksmd's.

    Args:
        rows: theirs in the ring.
        place: of each, as far as it is known without ksmd's.
        last: the last place.
        own_rows: rows of ksmd's records.
        own: the last place before each that is another's, and the first behind it, less 1 each.
    """
    if not len(own_rows):
        return keys(place, OTHERS) + 2 * rows
    before, behind = own
    at = np.searchsorted(own_rows, rows)
    previous = np.where(at > 0, before[np.maximum(at - 1, 0)], -2)
    following = np.where(at < len(behind), behind[np.minimum(at, len(behind) - 1)], last + 2)
    within = previous == following
    place = np.clip(place, previous + 1, np.maximum(following, previous + 1))
    found: Ints = np.where(within, keys(previous, BODY) + 4 * rows, keys(place, OTHERS) + 2 * rows)
    return found
