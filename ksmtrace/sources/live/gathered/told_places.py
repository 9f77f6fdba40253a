"""Records of other tasks that say where ksmd was: of tunables, and of mms that come and go."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.record import Records, picked, true_rows
from ksmtrace.sources.live.gathered.batch import Header
from ksmtrace.sources.live.gathered.chunk import ChunkFlag, Ints
from ksmtrace.sources.live.gathered.own import Own, find_rmap_items
from ksmtrace.sources.live.gathered.visit import Visit

BETWEEN_PASSES = 1
"""Raw mark: ksmd had ended a pass and not begun the next."""

_COLUMNS = {"mm": (kinds.TUNABLE,), "rmap_item": (kinds.MM_ENTER, kinds.MM_EXIT)}
"""The column that tells the place, of each kind."""
_TELLS = np.zeros(256, dtype=bool)
_TELLS[[kind for told_of in _COLUMNS.values() for kind in told_of]] = True
_FROM_HEAD = int(ChunkFlag.FROM_HEAD)


class ToldPlaces(NamedTuple):
    """Records of a batch that say where ksmd was.

    Attributes:
        row: of each in what was handed over.
        ts: of each; when a write to a tunable began.
        place: of the first item whose turn had not begun then.
        item: which item of the visit ksmd was at; -1 for none of them.
    """

    row: npt.NDArray[np.intp]
    ts: Ints
    place: Ints
    item: npt.NDArray[np.intp]


def told_places(held: Records, header: Header, visited: Visit) -> ToldPlaces:
    """Those since the batch began, where the kernel's own cursor was seen."""
    cursor = _cursors(held)
    rows = true_rows((cursor != 0) & (held["ts"] >= header.began))
    # Ksmd was at the last item of the batch before where none of this one is named.
    place, at = np.zeros(len(rows), dtype=np.int64), np.zeros(0, dtype=np.intp)
    if len(rows):
        told = cursor[rows]
        at = find_rmap_items(visited, told)
        place[at >= 0] = visited.place[at[at >= 0]] + 1
        for number, stretch in enumerate(visited.walk.stretches):
            place[told == stretch.mm] = visited.end_of(number - 1) + 1
        if not header.flags & _FROM_HEAD:
            place[told == BETWEEN_PASSES] = visited.last + 1
    return ToldPlaces(rows, held["ts"][rows].astype(np.int64), place, at)


def brought_on(own: Own, told: ToldPlaces, visited: Visit) -> Own:
    """Ksmd's records, none before the place that a record before it in the ring tells."""
    if not len(told.row) or not len(own.row):
        return own
    last = np.searchsorted(told.row, own.row) - 1
    follows = last >= 0
    item = np.where(follows, np.maximum.accumulate(told.item)[last], -1)
    place = np.where(follows, np.maximum.accumulate(told.place)[last] - 1, -1)
    cursor = np.maximum.accumulate(np.maximum(own.cursor, item))
    at = np.where(cursor >= 0, visited.place[cursor], -1) if len(visited.place) else own.place
    return own._replace(cursor=cursor, place=np.maximum.accumulate(np.maximum(at, place)))


def without_places(events: Records) -> Records:
    """The same as intercepting gives it."""
    if not _TELLS[events["kind"]].any():
        return events
    rows = true_rows(_cursors(events) != 0)
    if len(rows):
        events = picked(events)
        for column, told_of in _COLUMNS.items():
            events[column][rows[np.isin(events["kind"][rows], told_of)]] = 0
    return events


def _cursors(events: Records) -> npt.NDArray[np.uint64]:
    cursor = np.zeros(len(events), dtype=np.uint64)
    if not _TELLS[events["kind"]].any():
        return cursor
    for column, told_of in _COLUMNS.items():
        for kind in told_of:
            rows = true_rows(events["kind"] == kind)
            cursor[rows] = events[column][rows]
    return cursor
