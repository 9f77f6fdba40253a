"""Smart scan's ages of many rmap_items at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.bulk_result import Mask
from ksmtrace.engine.ksm.smart_scan import NEVER_SKIPPED_BELOW, OLDEST, skip_age

_SKIP_AGES = np.array([skip_age(age) for age in range(OLDEST + 1)], np.uint8)


def grow_older(
    age: npt.NDArray[np.uint8], remaining_skips: npt.NDArray[np.uint8], looked_at: Mask
) -> None:
    """Do to many rmap_items, in place, what `should_skip_rmap_item` does to those `looked_at`."""
    old = looked_at & (age >= NEVER_SKIPPED_BELOW)
    skipped = old & (remaining_skips > 0)
    remaining_skips[skipped] -= 1
    starts = old & ~skipped
    remaining_skips[starts] = _SKIP_AGES[age[starts]]
    age[looked_at & (age < OLDEST)] += 1
