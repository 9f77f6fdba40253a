"""The ladder: slots are judged by what sampling them brought, and climb or fall."""

from __future__ import annotations

from ksmtrace.engine.uksm.rung import Rung
from ksmtrace.engine.uksm.slot import Slot
from ksmtrace.engine.uksm.state import Uksm


def judge_slot(uksm: Uksm, slot: Slot) -> None:
    """The end of a slot has been reached: it climbs, falls or stays (judge_slot).

    One that has been seen whole begins anew at the bottom, unless thrash_threshold is 0.
    """
    rung = slot.rung
    assert rung is not None, "it is being scanned"
    dedup = cal_dedup_ratio(uksm, slot)
    if slot.fully_scanned and uksm.thrash_threshold:
        moved = _vma_rung_enter(uksm, slot, uksm.rungs[0])
    elif dedup and dedup >= uksm.abundant_threshold:
        moved = _vma_rung_up(uksm, slot)
    else:
        moved = _vma_rung_enter(uksm, slot, uksm.rungs[max(0, rung.number - 1)])
    slot.pages_merged = slot.pages_cowed = slot.this_sampled = 0
    if slot.fully_scanned:
        slot.pages_scanned = 0
    if not moved:
        rung.advance(uksm.page_time)


def cal_dedup_ratio(uksm: Uksm, slot: Slot) -> int:
    """Merges per hundred visits (cal_dedup_ratio); 0 where too many were undone by writes."""
    return _ratio(uksm, slot.pages_merged, slot.pages_cowed, slot.this_sampled)


def cal_dedup_ratio_old(uksm: Uksm, slot: Slot) -> int:
    """Merges of others with it, per hundred of its pages (cal_dedup_ratio_old)."""
    return _ratio(uksm, slot.pages_bemerged, slot.pages_cowed, slot.pages)


def end_round(uksm: Uksm) -> bool:
    """End the round if all rungs that have slots have been gone through (part of uksm_do_scan).

    Returns:
        Whether it has ended.
    """
    rungs = [rung for rung in uksm.rungs if rung.count]
    if not rungs or not all(rung.round_finished for rung in rungs):
        return False
    _round_update_ladder(uksm)
    uksm.eval_round += 1
    return True


def hash_round_finished(uksm: Uksm) -> bool:
    """Whether enough has been visited to count a full scan, which it does (hash_round_finished)."""
    if uksm.scanned_virtual_pages <= uksm.pages_total >> 2:
        return False
    uksm.scanned_virtual_pages = 0
    uksm.full_scans += bool(uksm.pages_scanned)
    return True


def _round_update_ladder(uksm: Uksm) -> None:
    # Latest first: UKSM adds at the head of the list.
    for rung in uksm.rungs:
        rung.round_finished = False
    for slot in reversed(tuple(uksm.noted_slots)):
        if slot.rung is not None:
            dedup = cal_dedup_ratio_old(uksm, slot)
            if dedup and dedup >= uksm.abundant_threshold:
                _vma_rung_up(uksm, slot)
        slot.pages_bemerged = slot.pages_cowed = 0
    uksm.noted_slots.clear()


def _ratio(uksm: Uksm, merged: int, cowed: int, of: int) -> int:
    if merged and uksm.thrash_threshold:
        thrashes = cowed * 100 // merged > uksm.thrash_threshold
        merged = 0 if thrashes else merged - cowed
    return merged * 100 // of if of else 0


def _vma_rung_up(uksm: Uksm, slot: Slot) -> bool:
    assert slot.rung is not None, "it stands on one"
    return _vma_rung_enter(uksm, slot, uksm.rungs[min(slot.rung.number + 1, len(uksm.rungs) - 1)])


def _vma_rung_enter(uksm: Uksm, slot: Slot, rung: Rung) -> bool:
    old = slot.rung
    if old is None or old is rung:
        return False
    old.remove(slot, uksm.page_time)
    rung.enter([slot], uksm.page_time)
    return True
