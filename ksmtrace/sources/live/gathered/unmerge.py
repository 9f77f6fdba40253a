"""run=2: every known item was freed, mm by mm, as the write to `run` went on."""

from __future__ import annotations

import numpy as np

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import Records, true_rows
from ksmtrace.sources.live.gathered.chunk import IN_STABLE, NEITHER
from ksmtrace.sources.live.gathered.own import FROM_REMOVAL, without_marks
from ksmtrace.sources.live.gathered.population import Items
from ksmtrace.sources.live.gathered.rows import Rows, add_freed


def freed_by_unmerge(
    known: list[tuple[int, Items]], held: Records, began: int, ended: int
) -> Records:
    """The events of a write of 2 to `run`, in order.

    The writer copies the pages of an mm (COW_FAULT by the kernel), then frees its items; a stable
    node goes with the first of its items that is freed once nobody maps its page.

    Args:
        known: the items of each mm, stale ones in no tree, in the order of ksmd's list.
        held: records of the ring before that of the write.
        began: when the write began, in nanoseconds.
        ended: when it ended.
    """
    rows = Rows()
    starts, mms, columns, total = {}, [], [], 0
    for mm, items in known:
        starts[mm] = total
        total += len(items.vpn)
        mms.append(np.full(len(items.vpn), mm, dtype=np.uint64))
        columns.append(items)
    if not columns:
        return without_marks(held)
    freed = Items(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))
    precede = _freed_before(held, freed, starts, began)
    key = 2 * np.arange(total) + 1
    add_freed(rows, freed, np.concatenate(mms), key, max(began, ended))
    rows.add(without_marks(held), 2 * np.array(precede, dtype=np.int64))
    return rows.in_order()


def _freed_before(held: Records, freed: Items, starts: dict[int, int], began: int) -> list[int]:
    """How many items were freed before each record; items whose node went before leave it."""
    total, done, low, precede = len(freed.vpn), 0, 0, []
    stable = freed.tree == IN_STABLE
    for record in held:
        late = record["ts"] >= began
        if late and record["kind"] == kinds.COW_FAULT and record["flags"] & Flag.BY_KERNEL:
            low = starts.get(int(record["mm"]), low)
            done = max(done, low)
        elif late and record["kind"] == kinds.REMOVE_STABLE_NODE and not record["rmap_item"]:
            if record["flags"] & FROM_REMOVAL:
                sharers = true_rows(stable & (freed.head == record["aux"]))
                after = sharers[sharers >= max(low, done - 1)]
                if len(after):
                    done = max(done, int(after[0]) + 1)
                    freed.tree[after[1:]], freed.head[after[1:]] = NEITHER, 0
                    stable[after] = False
            else:
                done = total
        precede.append(done)
    return precede
