"""The probe that gathers what ksmd did once a batch, for all kinds of events that it shows."""

from __future__ import annotations

from dataclasses import replace

from ksmtrace.events.kinds import EventKind
from ksmtrace.session import Exactness
from ksmtrace.sources.live.probe_spec import ProbeSpec, ProbeTable, entry

_GOING = ProbeSpec(
    "gather",
    Exactness.DERIVED,
    (entry("uprobe_clear_state", "on_mm_going", "ctx", "PT_REGS_PARM1(ctx)"),),
)
"""ksmd may see that nobody uses an mm before __ksm_exit is called, or in its stead."""

GATHER = ProbeSpec(
    "gather",
    Exactness.DERIVED,
    (
        # A program that jumps to others is of their type.
        replace(
            entry("kthread_should_stop", "on_kthread_should_stop", "ctx"), fentry_with="bpf_loop"
        ),
        entry("__msecs_to_jiffies", "on_msecs_to_jiffies", "ctx", "PT_REGS_SP(ctx)"),
        entry("__ksm_exit", "on_ksm_leaving", "ctx", "PT_REGS_PARM1(ctx)"),
    ),
    parts=("marks.c",),
    reads="lists of rmap_items",
    note="gathered once a batch: its time within the batch is not known",
    requires={EventKind.TRY_TO_MERGE_ONE_PAGE: ("function",)},
    defines={"GATHERED": 1},
    beside=(
        entry("stable_tree_append", "on_stable_tree_append"),
        entry("remove_node_from_stable_tree", "on_remove_node_from_stable_tree"),
        entry("break_cow", "on_break_cow"),
        entry("__ksm_enter", "on_ksm_enter"),
    ),
    choices=("auto", "gather"),
    with_too=_GOING,
)
"""Removals: the first kind of those that it shows."""

_BY_REMOVALS = {EventKind.REMOVE_RMAP_ITEM: ("gather",)}
_ROWS = {
    EventKind.REMOVE_RMAP_ITEM: GATHER,
    EventKind.CMP_AND_MERGE_PAGE: replace(
        GATHER,
        note=f"{GATHER.note}, nor the pfn of a page that is not merged",
        requires=_BY_REMOVALS,
    ),
    EventKind.SKIPPED: replace(GATHER, requires=_BY_REMOVALS),
    EventKind.SCAN_START: replace(GATHER, requires=_BY_REMOVALS),
    EventKind.SCAN_STOP: replace(
        GATHER, note="seen when ksmd next sleeps or scans", requires=_BY_REMOVALS
    ),
}


def with_gathering(table: ProbeTable) -> ProbeTable:
    """The table with that probe before all others of the kinds that it shows."""
    return {
        kind: (_ROWS[kind], *others) if kind in _ROWS else others for kind, others in table.items()
    }
