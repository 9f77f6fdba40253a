"""The table of probes: for each kind of event the ways to see it, the best first.

Kernel versions play no part: a probe is taken where the kernel has everything that it names. Kinds
are decided in the order of the table, so one whose probes require another kind's comes after it.
"""

from __future__ import annotations

from dataclasses import replace

from ksmtrace.events.kinds import EventKind
from ksmtrace.session import Exactness, Knowledge
from ksmtrace.sources.live.gather_probe import with_gathering
from ksmtrace.sources.live.probe_spec import (
    FIRST_ARGUMENT,
    Hook,
    Place,
    ProbeSpec,
    ProbeTable,
    both,
    entry,
    tracepoint,
)

_EXACT, _DERIVED, _SAMPLED = Exactness.EXACT, Exactness.DERIVED, Exactness.SAMPLED

_CURSOR_WORD = "read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST)"
_SWITCH = Hook(Place.SWITCH, "ksmd", "on_ksmd_switched_out")
_MERGING = both("try_to_merge_with_ksm_page", "on_try_to_merge_with_ksm_page")
_MERGE_ONE = both("try_to_merge_one_page", "on_try_to_merge_one_page")
_DO_WP_PAGE = both("do_wp_page", "on_do_wp_page")
_MERGE_TRACEPOINTS = (
    tracepoint("ksm_merge_one_page", "on_merge_one_page"),
    tracepoint("ksm_merge_with_ksm_page", "on_merge_with_ksm_page"),
)
_ONE_BY_ONE = ("inlined", "symbol", "walk", "walk and skips", "lock")
_BY_REMOVALS = {EventKind.REMOVE_RMAP_ITEM: ("function",)}

_PAGE_FOUND = both("ksm_next_page_pmd_entry", "on_pmd_entry", for_return=True)


_WALK = ProbeSpec(
    "walk",
    _DERIVED,
    _PAGE_FOUND,
    reads="ksm_scan cursor",
    note="inlined; one event per page found, "
    "its rmap_item read when ksmd first touches it or moves on",
    defines={"CANDIDATES_BY_WALK": 1, "WITH_PAGE_TABLE_WALK": 1},
    requires=_BY_REMOVALS,
    # What smart scan passes over would be taken for candidates.
    excluded_by=("ksm_rmap_item.remaining_skips",),
)
_WALK_AND_SKIPS = replace(
    _WALK,
    name="walk and skips",
    reads="ksm_scan cursor, ksm_pages_skipped",
    parts=("skips.c",),
    excluded_by=(),
)

COUNTED = ProbeSpec(
    "counted",
    _EXACT,
    _PAGE_FOUND,
    note="tells each candidate's page, and counts them a second time",
    defines={"WITH_PAGE_TABLE_WALK": 1},
)
"""The page-table walk, added to another probe of candidates."""


def _by_tracepoint(kind: EventKind, note: str) -> ProbeSpec:
    return ProbeSpec(
        "tracepoint",
        _DERIVED,
        _MERGE_TRACEPOINTS,
        note=note,
        defines={f"TRACEPOINT_{kind.name}": 1},
    )


def _by_function(*hooks: Hook, note: str = "") -> ProbeSpec:
    return ProbeSpec("function", _EXACT, hooks, note=note)


def _total(counter: str, note: str = "") -> ProbeSpec:
    return ProbeSpec(
        "total", _SAMPLED, counter=counter, note=note or "the kernel's total alone: not one by one"
    )


def _only_tracepoint(name: str, body: str) -> ProbeSpec:
    return ProbeSpec("tracepoint", _EXACT, (tracepoint(name, body),))


_INTERCEPTED: ProbeTable = {
    EventKind.TRY_TO_MERGE_ONE_PAGE: (
        _by_function(*_MERGE_ONE, _MERGING[0]),
        _by_tracepoint(
            EventKind.TRY_TO_MERGE_ONE_PAGE,
            "an attempt refused because its VMA is gone counts as one",
        ),
    ),
    EventKind.REPLACE_PAGE: (
        ProbeSpec(
            "symbol",
            _EXACT,
            (entry("replace_page", "on_replace_page"),),
            defines={"WITH_REPLACE_PAGE": 1},
            requires={EventKind.TRY_TO_MERGE_ONE_PAGE: ("function",)},
        ),
        ProbeSpec(
            "result",
            _DERIVED,
            _MERGE_ONE,
            note="inlined; seen when it succeeds, "
            "a failed one is not told from a failed write protection",
            requires={EventKind.TRY_TO_MERGE_ONE_PAGE: ("function",)},
        ),
        _by_tracepoint(
            EventKind.REPLACE_PAGE,
            "a fork's copy of a KSM page counts as one, though nothing is replaced",
        ),
    ),
    EventKind.REMOVE_RMAP_ITEM: (
        ProbeSpec(
            "function",
            _EXACT,
            (entry("remove_rmap_item_from_tree", "on_remove_rmap_item_from_tree"), *_MERGING),
        ),
    ),
    EventKind.CMP_AND_MERGE_PAGE: (
        ProbeSpec(
            "symbol",
            _EXACT,
            (entry("cmp_and_merge_page", "on_cmp_and_merge_page", _CURSOR_WORD), _SWITCH),
            requires=_BY_REMOVALS,
            with_too=COUNTED,
        ),
        _WALK,
        _WALK_AND_SKIPS,
        ProbeSpec(
            "lock",
            _DERIVED,
            (tracepoint("mmap_lock_released", "on_mmap_lock_released"), _SWITCH),
            reads="ksm_scan cursor",
            note="inlined; one event per candidate, "
            "checked against ksm_next_page_pmd_entry where that is",
            requires=_BY_REMOVALS,
            with_too=COUNTED,
        ),
        _total("pages_scanned"),
    ),
    EventKind.SKIPPED: (
        ProbeSpec(
            "cursor",
            _DERIVED,
            (entry("remove_rmap_item_from_tree", "on_remove_rmap_item_from_tree"),),
            reads="ksm_scan cursor",
            note="the candidate's removal where ksm_pages_skipped has grown, "
            "or before ksmd lets go of the lock",
            requires={EventKind.CMP_AND_MERGE_PAGE: _ONE_BY_ONE},
        ),
        _total("pages_skipped"),
    ),
    EventKind.STABLE_APPEND: (
        _by_function(entry("stable_tree_append", "on_stable_tree_append")),
        ProbeSpec(
            "tracepoint",
            _DERIVED,
            _MERGE_TRACEPOINTS,
            note="every success is appended",
            defines={"TRACEPOINT_STABLE_APPEND": 1},
            # It knows a stable node by its page, the removals by its address.
            conflicts=_BY_REMOVALS,
        ),
    ),
    EventKind.REMOVE_STABLE_NODE: (
        ProbeSpec(
            "function",
            _EXACT,
            (
                entry(
                    *("remove_node_from_stable_tree", "on_remove_node_from_stable_tree"),
                    *(FIRST_ARGUMENT, "ctx"),
                ),
            ),
            requires={EventKind.STABLE_APPEND: ("function",)},
        ),
        ProbeSpec(
            "tracepoint",
            _EXACT,
            (tracepoint("ksm_remove_ksm_page", "on_remove_ksm_page"),),
            conflicts=_BY_REMOVALS,
        ),
    ),
    EventKind.BREAK_COW: (
        _by_function(
            entry("break_cow", "on_break_cow"),
            note="ksmd's own; a user's write to a KSM page is a cow_fault",
        ),
        _by_tracepoint(EventKind.BREAK_COW, "the second half of a pair failed"),
    ),
    EventKind.COW_FAULT: (
        _by_function(*both("break_ksm", "on_break_ksm"), *_DO_WP_PAGE),
        ProbeSpec(
            "unattributed",
            _EXACT,
            _DO_WP_PAGE,
            note="users' writes and the kernel's own breaks are not told apart",
            lacks=frozenset({Knowledge.WHO_BROKE}),
        ),
        _total("cow_ksm"),
    ),
    EventKind.SCAN_START: (
        ProbeSpec(
            "cursor",
            _DERIVED,
            (_SWITCH,),
            reads="ksm_scan.seqnr",
            note="seen at the first page of the pass",
            requires={EventKind.CMP_AND_MERGE_PAGE: _ONE_BY_ONE},
        ),
        _only_tracepoint("ksm_start_scan", "on_start_scan"),
    ),
    EventKind.SCAN_STOP: (
        ProbeSpec(
            "cursor",
            _DERIVED,
            (_SWITCH,),
            reads="ksm_scan.seqnr",
            note="seen when ksmd next sleeps or scans",
            requires={EventKind.SCAN_START: ("cursor",)},
        ),
        _only_tracepoint("ksm_stop_scan", "on_stop_scan"),
        _total("full_scans"),
    ),
    EventKind.MM_ENTER: (
        _by_function(entry("__ksm_enter", "on_ksm_enter")),
        ProbeSpec("tracepoint", _EXACT, (tracepoint("ksm_enter", "on_ksm_enter"),)),
    ),
    EventKind.MM_EXIT: (
        _by_function(entry("__ksm_exit", "on_ksm_exit")),
        ProbeSpec("tracepoint", _EXACT, (tracepoint("ksm_exit", "on_ksm_exit"),)),
    ),
    EventKind.PROCESS: (
        ProbeSpec(
            "owner",
            _DERIVED,
            parts=("process.c",),
            reads="mm->owner",
            note="read when ksmd comes to the mm",
            requires={EventKind.MM_ENTER: ("function", "tracepoint")},
        ),
    ),
    EventKind.TUNABLE: (
        ProbeSpec(
            "store",
            _EXACT,
            both("sysfs_kf_write", "on_sysfs_kf_write"),
            reads="ksm_attrs",
            note="in the stream where the write returned",
        ),
        ProbeSpec(
            "reread",
            _SAMPLED,
            reads="/sys/kernel/mm/ksm",
            note="read with the counters: a write is seen late; "
            "one that was refused, or undone meanwhile, never",
        ),
    ),
    EventKind.SAMPLE: (_total("", "read now and then, and by the probe itself as a pass ends"),),
}

PROBES = with_gathering(_INTERCEPTED)
