"""Writes to merged pages as the COW_FAULTs of a stream tell them."""

from collections import Counter

import numpy as np

from ksmtrace.events import EventKind, Flag


def written(records: np.ndarray) -> Counter[tuple[int, int]]:
    """How often ksmd came to a page of (mm, address) that it had merged, and that had been written
    to since its last look."""
    merged, pending, found = set(), set(), Counter()
    columns = (records[name].tolist() for name in ("mm", "address", "kind", "flags"))
    for mm, address, kind, flags in zip(*columns, strict=True):
        key = mm, address
        match kind:
            case EventKind.STABLE_APPEND:
                merged.add(key)
            case EventKind.COW_FAULT if key in merged and not flags & Flag.BY_KERNEL:
                pending.add(key)
            case EventKind.REMOVE_RMAP_ITEM if flags & Flag.FREED:
                merged.discard(key)
                pending.discard(key)
            case EventKind.CMP_AND_MERGE_PAGE | EventKind.SKIPPED:  # which has no flags
                found[key] += key in pending
                pending.discard(key)
                if not flags & Flag.STABLE_AFTER:
                    merged.discard(key)
    return +found
