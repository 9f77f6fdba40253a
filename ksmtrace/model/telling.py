"""Which events can change ksmd's state as it is known, and which leave it as it is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import Flag

EXAMINED = int(kinds.CMP_AND_MERGE_PAGE)
_REMOVED = int(kinds.REMOVE_RMAP_ITEM)
_STABLE_BEFORE, STABLE_AFTER = int(Flag.STABLE_BEFORE), int(Flag.STABLE_AFTER)
_UNSTABLE_BEFORE, UNSTABLE_AFTER = int(Flag.UNSTABLE_BEFORE), int(Flag.UNSTABLE_AFTER)
_TREES = _STABLE_BEFORE | STABLE_AFTER | _UNSTABLE_BEFORE | UNSTABLE_AFTER
FREED = int(Flag.FREED)


def tells(
    kind: npt.NDArray[np.uint8], flags: npt.NDArray[np.uint8], item: npt.NDArray[np.uint64]
) -> npt.NDArray[np.bool_]:
    """Which events can change a state that is known whole; most of a settled scan cannot.

    An examination that leaves the rmap_item in its tree, or in neither, changes nothing; nor does
    the removal just before it, by which ksmd takes a candidate out of the unstable tree only to put
    it back.
    """
    trees = flags & (_TREES | FREED)
    examined = kind == EXAMINED
    waits_on = examined & (trees == _UNSTABLE_BEFORE | UNSTABLE_AFTER)
    silent = examined & ((trees == 0) | (trees == _STABLE_BEFORE | STABLE_AFTER))
    taken = (kind == _REMOVED) & (flags == _UNSTABLE_BEFORE)
    put_back = np.zeros(len(kind), dtype=bool)
    put_back[1:] = waits_on[1:] & taken[:-1] & (item[1:] == item[:-1])
    silent |= put_back
    silent[:-1] |= put_back[1:]
    telling: npt.NDArray[np.bool_] = ~silent
    return telling
