"""The records of a batch, put in order."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.kinds import Flag
from ksmtrace.events.record import Records, empty_records, joined, picked, true_rows
from ksmtrace.sources.live.gathered.chunk import ADDRESS_SHIFT, IN_STABLE, IN_UNSTABLE, Ints
from ksmtrace.sources.live.gathered.own import Own, without_marks
from ksmtrace.sources.live.gathered.places import DONE, PLACE_SHIFT, SKIPPED
from ksmtrace.sources.live.gathered.population import Items
from ksmtrace.sources.live.gathered.turns import Turns, merged_with, partners_removed
from ksmtrace.sources.live.gathered.visit import Visit

_AFTER_SHIFT = 2


class Rows:
    """Records with the keys by which they are sorted."""

    def __init__(self) -> None:
        self._records: list[Records] = []
        self._keys: list[Ints] = []

    def add(self, records: Records, key: Ints) -> None:
        """These, each with its key."""
        if len(records):
            self._records.append(records)
            self._keys.append(key)

    def make(self, kind: int, key: Ints, **columns: int | npt.NDArray[np.generic]) -> None:
        """New ones of one kind, with these columns."""
        records = empty_records(len(key))
        records["kind"] = kind
        for name, values in columns.items():
            records[name] = values
        self.add(records, key)

    def in_order(self) -> Records:
        """All of them; what has one key is in the order in which it was added."""
        if not self._records:
            return empty_records()
        if len(self._records) == 1:
            (records,), (key,) = self._records, self._keys
        else:
            records, key = joined(self._records), np.concatenate(self._keys)
        if (key[1:] >= key[:-1]).all():
            return records
        return picked(records, np.argsort(key, kind="stable"))


def add_items(
    rows: Rows, visited: Visit, turned: Turns, when: Ints, emitted: npt.NDArray[np.bool_]
) -> None:
    """SKIPPED, REMOVE_RMAP_ITEM and CMP_AND_MERGE_PAGE of the items visited."""
    walk = visited.walk
    items: dict[str, npt.NDArray[np.generic]] = {
        "ts": when[visited.place],
        "mm": visited.mm,
        "address": walk.vpn.astype(np.uint64) << ADDRESS_SHIFT,
        "rmap_item": turned.rmap_item,
    }
    start = visited.place << PLACE_SHIFT
    out = turned.removed & emitted
    if out.any():
        rows.make(
            kinds.REMOVE_RMAP_ITEM,
            turned.removed_key[out],
            flags=turned.before[out],
            aux=turned.head_before[out] * (turned.before[out] == IN_STABLE),
            **{name: values[out] for name, values in items.items()},
        )
    over = walk.skipped & emitted
    if over.any():
        rows.make(
            kinds.SKIPPED,
            start[over] + SKIPPED,
            **{name: values[over] for name, values in items.items()},
        )
    examined = emitted & ~walk.skipped
    part: Any = slice(None) if examined.all() else examined
    rows.make(
        kinds.CMP_AND_MERGE_PAGE,
        start[part] + DONE,
        flags=(turned.before | turned.after << _AFTER_SHIFT)[part],
        oldchecksum=visited.before.checksum[part],
        checksum=turned.checksum[part],
        aux=turned.head[part],
        **{name: values[part] for name, values in items.items()},
    )


def add_freed(
    rows: Rows, freed: Items, mm: npt.NDArray[np.uint64], key: Ints, ts: Ints | int
) -> None:
    """REMOVE_RMAP_ITEM of items that were freed."""
    if len(key):
        rows.make(
            kinds.REMOVE_RMAP_ITEM,
            key,
            ts=ts,
            flags=freed.tree | np.uint8(Flag.FREED),
            mm=mm,
            address=freed.vpn.astype(np.uint64) << ADDRESS_SHIFT,
            rmap_item=freed.rmap_item,
            aux=freed.head * (freed.tree == IN_STABLE),
        )


def add_own(rows: Rows, records: Records, own: Own, key: Ints) -> None:
    """Ksmd's own records, and what follows from attempts that succeeded.

    Args:
        rows: to which they are added.
        records: as they are in the ring.
        own: the same, read.
        key: of each.
    """
    sees_replace_page = bool(own.where(kinds.REPLACE_PAGE).any())
    clean = without_marks(records)
    rows.add(clean, key)
    replaced = true_rows(own.where(kinds.TRY_TO_MERGE_ONE_PAGE) & merged_with(own.flags, own.ok))
    if len(replaced) and not sees_replace_page:
        follow = clean[replaced]
        follow["kind"] = kinds.REPLACE_PAGE
        follow["flags"] &= np.uint8(Flag.ZERO_PAGE)
        follow["oldchecksum"] = follow["checksum"] = 0
        rows.add(follow, key[replaced] + 1)
    partners = true_rows(partners_removed(own))
    if len(partners):
        one = clean[partners]
        rows.make(
            kinds.REMOVE_RMAP_ITEM,
            key[partners] + (6 if sees_replace_page else 2),
            flags=IN_UNSTABLE,
            **{name: one[name] for name in ("ts", "mm", "address", "rmap_item")},
        )
