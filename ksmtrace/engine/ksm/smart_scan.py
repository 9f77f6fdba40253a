"""Smart scan (6.7): pages that have long been without a partner are looked at less often."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.rmap_item import RmapItem
from ksmtrace.engine.ksm.rmap_list import remove_rmap_item_from_tree
from ksmtrace.engine.machine.memory import Frame

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Ksm

OLDEST = 255
NEVER_SKIPPED_BELOW = 3


def skip_age(age: int) -> int:
    """How often in a row a page of this age is passed over (skip_age, 6.7)."""
    if age <= 3:
        return 1
    if age <= 5:
        return 2
    return 4 if age <= 8 else 8


def should_skip_rmap_item(ksm: Ksm, page: Frame, item: RmapItem) -> bool:
    """Whether to pass over the page; it then leaves the unstable tree (should_skip_rmap_item, 6.7).

    Every page that is no KSM page grows older by this, up to 255.
    """
    if not ksm.tunables["smart_scan"] or page.ksm:
        return False
    age = item.age
    item.age = min(age + 1, OLDEST)
    if age < NEVER_SKIPPED_BELOW:
        return False
    if not item.remaining_skips:
        item.remaining_skips = skip_age(age)
        return False
    ksm.counters.pages_skipped += 1
    item.remaining_skips -= 1
    ksm.watcher.skipped(item)
    remove_rmap_item_from_tree(ksm, item)
    return True
