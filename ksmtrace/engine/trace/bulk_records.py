"""The records of many pages that were examined at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.bulk_result import BulkResult, Done
from ksmtrace.events import EventKind, Flag, empty_records
from ksmtrace.events.record import Records

NS_PER_RECORD = 1000
"""The engine takes no time: records are so far apart, to show their order."""

_PAGE_SHIFT = np.uint64(12)
_E = EventKind
_HAS_KPAGE, _NEW_NODE = int(Flag.HAS_KPAGE), int(Flag.NEW_NODE)

_KINDS = Done.PAIRED + 1

_RECORDS = np.zeros(_KINDS, np.intp)
_RECORDS[[Done.SETTLED, Done.SKIPPED, Done.CHANGED, Done.JOINED]] = 1
_RECORDS[Done.SHARED] = 4
_RECORDS[Done.PAIRED] = 7
"""How many records a page gives, by `Done`, besides the removal from the old unstable tree."""

_AFTER = np.zeros(_KINDS, np.uint8)
_AFTER[Done.SETTLED] = Flag.STABLE_BEFORE | Flag.STABLE_AFTER
_AFTER[Done.JOINED] = Flag.UNSTABLE_AFTER
_AFTER[[Done.SHARED, Done.PAIRED]] = Flag.STABLE_AFTER
"""Flags of CMP_AND_MERGE_PAGE by `Done`, except for UNSTABLE_BEFORE."""


def bulk_records(pages: BulkResult, now: int, seq: int) -> tuple[Records, int]:
    """The records after time `now`, numbered from `seq` on, and how many precede the candidates'.

    A candidate's last record is CMP_AND_MERGE_PAGE, whose time is when the call began: before the
    others of the page.
    """
    done, removed = pages.done, pages.was_unstable
    counts = _RECORDS[done] + removed
    ends = np.cumsum(counts)
    starts = ends - counts
    records = empty_records(int(ends[-1]))
    order = np.arange(len(records))
    records["seq"] = order + seq
    records["ts"] = _ticks(order, done, starts, ends) * NS_PER_RECORD + now
    vpn = np.arange(pages.first, pages.first + len(done), dtype=np.uint64)
    records["mm"] = pages.mm.key
    records["address"] = np.repeat(vpn << _PAGE_SHIFT, counts)
    records["rmap_item"] = np.repeat(pages.key, counts)
    _put(records, starts[removed] + (done[removed] == Done.SKIPPED), _E.REMOVE_RMAP_ITEM,
         flags=Flag.UNSTABLE_BEFORE)  # fmt: skip
    _put(records, starts[done == Done.SKIPPED], _E.SKIPPED)
    shared, paired = done == Done.SHARED, done == Done.PAIRED
    if shared.any():
        _put_shared(records, ends, pages, shared)
    if paired.any():
        _put_paired(records, ends, pages, paired)
    candidates = (done != Done.SKIPPED) & (done != Done.NOTHING)
    _put(
        records,
        ends[candidates] - 1,
        _E.CMP_AND_MERGE_PAGE,
        flags=(_AFTER[done] | removed * np.uint8(Flag.UNSTABLE_BEFORE))[candidates],
        oldchecksum=pages.oldchecksum[candidates],
        checksum=pages.checksum[candidates],
        pfn=pages.pfn[candidates],
        aux=pages.node_key[candidates],
    )
    first = int(starts[candidates][0]) if candidates.any() else len(records)
    return records, first


def _ticks(
    order: npt.NDArray[np.intp],
    done: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.intp],
    ends: npt.NDArray[np.intp],
) -> npt.NDArray[np.intp]:
    calls = (done != Done.SKIPPED) & (done != Done.NOTHING)
    ticks: npt.NDArray[np.intp] = order + np.repeat(calls, ends - starts)
    ticks[ends[calls] - 1] = starts[calls]
    ticks += 1
    return ticks


def _put(
    records: Records,
    at: npt.NDArray[np.intp],
    kind: EventKind,
    **columns: int | npt.NDArray[np.generic],
) -> None:
    records["kind"][at] = kind
    for name, values in columns.items():
        records[name][at] = values


def _put_shared(
    records: Records, ends: npt.NDArray[np.intp], pages: BulkResult, chosen: npt.NDArray[np.bool_]
) -> None:
    last = ends[chosen]
    pfn, kpfn, node = pages.pfn[chosen], pages.kpfn[chosen], pages.node_key[chosen]
    _put(
        records,
        last - 4,
        _E.TRY_TO_MERGE_ONE_PAGE,
        flags=_HAS_KPAGE,
        pfn=pfn,
        aux=kpfn,
    )
    _put(records, last - 3, _E.REPLACE_PAGE, pfn=pfn, aux=kpfn)
    _put(records, last - 2, _E.STABLE_APPEND, pfn=kpfn, aux=node)


def _put_paired(
    records: Records, ends: npt.NDArray[np.intp], pages: BulkResult, chosen: npt.NDArray[np.bool_]
) -> None:
    last = ends[chosen]
    pfn, node, partners = pages.pfn[chosen], pages.node_key[chosen], pages.partners
    its = {
        "mm": partners.mm_key,
        "address": partners.vpn << _PAGE_SHIFT,
        "rmap_item": partners.key,
    }
    _put(records, last - 7, _E.TRY_TO_MERGE_ONE_PAGE, pfn=pfn)
    _put(
        records,
        last - 6,
        _E.TRY_TO_MERGE_ONE_PAGE,
        flags=_HAS_KPAGE,
        pfn=partners.pfn,
        aux=pfn,
        **its,
    )
    _put(records, last - 5, _E.REPLACE_PAGE, pfn=partners.pfn, aux=pfn, **its)
    _put(records, last - 4, _E.REMOVE_RMAP_ITEM, flags=Flag.UNSTABLE_BEFORE, **its)
    _put(records, last - 3, _E.STABLE_APPEND, flags=_NEW_NODE, pfn=pfn, aux=node, **its)
    _put(records, last - 2, _E.STABLE_APPEND, pfn=pfn, aux=node)
