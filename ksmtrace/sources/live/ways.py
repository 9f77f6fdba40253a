"""How each kind of event can be seen, best way first. A new way is a row here.

Kernel versions play no part: a way is taken when the kernel has everything that it names. A way that leans on another
kind's way stands below it, for kinds are decided in the order of the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksmtrace.events.kinds import EventKind
from ksmtrace.session import Exactness, Knowledge
from ksmtrace.sources.live.way import Hook, Place, Way, both, entry, tracepoint

_EXACT, _DERIVED, _SAMPLED = Exactness.EXACT, Exactness.DERIVED, Exactness.SAMPLED

_CURSOR = ("state.c", "cursor.c")
_CURSOR_WORD = "read64(SYM_KSM_SCAN + KSM_SCAN_RMAP_LIST)"
_SWITCH = Hook(Place.SWITCH, "ksmd", "on_ksmd_switched_out")
_MERGING = both("try_to_merge_with_ksm_page", "on_try_to_merge_with_ksm_page")
_MERGE_ONE = both("try_to_merge_one_page", "on_try_to_merge_one_page")
_DO_WP_PAGE = both("do_wp_page", "on_do_wp_page")
_MERGE_TRACEPOINTS = (
    tracepoint("ksm_merge_one_page", "on_merge_one_page"),
    tracepoint("ksm_merge_with_ksm_page", "on_merge_with_ksm_page"),
)
_BY_REMOVALS = {EventKind.REMOVE_RMAP_ITEM: ("function",)}

WALK = Way(
    "walk",
    _DERIVED,
    both("ksm_next_page_pmd_entry", "on_pmd_entry"),
    (*_CURSOR, "candidate_walk.c"),
    reads="ksm_scan cursor",
    note="inlined; one event per page found, its rmap_item read when ksmd first touches it or moves on",
    defines={"WITHOUT_MMAP_LOCK_TRACEPOINT": 1, "WITH_PAGE_TABLE_WALK": 1},
    beside=_BY_REMOVALS,
    # Smart scan's removals could not be told from the candidate's; kernels that have it have the tracepoint.
    wrong_with=("ksm_rmap_item.remaining_skips",),
)
"""Candidates by the page-table walk alone."""

COUNTED = Way(
    "counted",
    _EXACT,
    WALK.hooks,
    WALK.sources,
    note="tells each candidate's page, and counts them a second time",
    defines={"WITH_PAGE_TABLE_WALK": 1},
)
"""The page-table walk beside another way to see candidates."""


def _by_tracepoint(kind: EventKind, note: str) -> Way:
    return Way(
        "tracepoint",
        _DERIVED,
        _MERGE_TRACEPOINTS,
        ("tracepoint.c",),
        note=note,
        defines={f"TRACEPOINT_{kind.name}": 1},
    )


def _by_function(hooks: tuple[Hook, ...], *sources: str, note: str = "") -> Way:
    return Way("function", _EXACT, hooks, sources, note=note)


def _total(file: str, note: str = "") -> Way:
    return Way(
        "total", _SAMPLED, file=file, note=note or "the kernel's total alone: not one by one"
    )


def _only_tracepoint(name: str, body: str) -> Way:
    return Way("tracepoint", _EXACT, (tracepoint(name, body),), ("tracepoint.c",))


WAYS: Mapping[EventKind, tuple[Way, ...]] = {
    EventKind.TRY_TO_MERGE_ONE_PAGE: (
        _by_function((*_MERGE_ONE, *_MERGING), "state.c", "merge.c"),
        _by_tracepoint(
            EventKind.TRY_TO_MERGE_ONE_PAGE,
            "an attempt refused because its VMA is gone counts as one",
        ),
    ),
    EventKind.REPLACE_PAGE: (
        Way(
            "symbol",
            _EXACT,
            (entry("replace_page", "on_replace_page"),),
            ("state.c", "replace_page.c"),
            defines={"WITH_REPLACE_PAGE": 1},
            beside={EventKind.TRY_TO_MERGE_ONE_PAGE: ("function",)},
        ),
        Way(
            "result",
            _DERIVED,
            _MERGE_ONE,
            ("state.c", "merge.c"),
            note="inlined; seen when it succeeds, a failed one is not told from a failed write protection",
            beside={EventKind.TRY_TO_MERGE_ONE_PAGE: ("function",)},
        ),
        _by_tracepoint(
            EventKind.REPLACE_PAGE,
            "a fork's copy of a KSM page counts as one, though nothing is replaced",
        ),
    ),
    EventKind.REMOVE_RMAP_ITEM: (
        Way(
            "function",
            _EXACT,
            (entry("remove_rmap_item_from_tree", "on_remove_rmap_item_from_tree"), *_MERGING),
            (*_CURSOR, "merge.c", "removal.c"),
        ),
    ),
    EventKind.CMP_AND_MERGE_PAGE: (
        Way(
            "symbol",
            _EXACT,
            (entry("cmp_and_merge_page", "on_cmp_and_merge_page", _CURSOR_WORD), _SWITCH),
            (*_CURSOR, "candidate_entry.c"),
            beside=_BY_REMOVALS,
            also=COUNTED,
        ),
        Way(
            "lock",
            _DERIVED,
            (tracepoint("mmap_lock_released", "on_mmap_lock_released"), _SWITCH),
            (*_CURSOR, "candidate_lock.c"),
            reads="ksm_scan cursor",
            note="inlined; one event per candidate, checked against ksm_next_page_pmd_entry where that is",
            beside=_BY_REMOVALS,
            also=COUNTED,
        ),
        WALK,
        _total("pages_scanned"),
    ),
    EventKind.SKIPPED: (
        Way(
            "cursor",
            _DERIVED,
            (entry("remove_rmap_item_from_tree", "on_remove_rmap_item_from_tree"),),
            (*_CURSOR, "removal.c"),
            reads="ksm_scan cursor",
            note="the candidate's removal before ksmd lets go of the lock",
            beside={EventKind.CMP_AND_MERGE_PAGE: ("inlined", "symbol", "lock")},
        ),
        _total("pages_skipped"),
    ),
    EventKind.STABLE_APPEND: (
        _by_function((entry("stable_tree_append", "on_stable_tree_append"),), "stable_tree.c"),
        Way(
            "tracepoint",
            _DERIVED,
            _MERGE_TRACEPOINTS,
            ("tracepoint.c",),
            note="every success is appended",
            defines={"TRACEPOINT_STABLE_APPEND": 1},
            # It knows a stable node by its page, the removals by its address.
            not_beside=_BY_REMOVALS,
        ),
    ),
    EventKind.REMOVE_STABLE_NODE: (
        Way(
            "function",
            _EXACT,
            (entry("remove_node_from_stable_tree", "on_remove_node_from_stable_tree"),),
            ("stable_tree.c",),
            beside={EventKind.STABLE_APPEND: ("function",)},
        ),
        Way(
            "tracepoint",
            _EXACT,
            (tracepoint("ksm_remove_ksm_page", "on_remove_ksm_page"),),
            ("tracepoint.c",),
            not_beside=_BY_REMOVALS,
        ),
    ),
    EventKind.BREAK_COW: (
        _by_function(
            (entry("break_cow", "on_break_cow"),),
            "stable_tree.c",
            note="ksmd's own; a user's write to a KSM page is a cow_fault",
        ),
        _by_tracepoint(EventKind.BREAK_COW, "the second half of a pair failed"),
    ),
    EventKind.COW_FAULT: (
        _by_function((*both("break_ksm", "on_break_ksm"), *_DO_WP_PAGE), "fault.c"),
        Way(
            "unattributed",
            _EXACT,
            _DO_WP_PAGE,
            ("fault.c",),
            note="users' writes and the kernel's own breaks are not told apart",
            lacks=frozenset({Knowledge.WHO_BROKE}),
        ),
        _total("cow_ksm"),
    ),
    EventKind.SCAN_START: (
        Way(
            "cursor",
            _DERIVED,
            (_SWITCH,),
            _CURSOR,
            reads="ksm_scan.seqnr",
            note="seen at the first page of the pass",
            beside={EventKind.CMP_AND_MERGE_PAGE: ("inlined", "symbol", "lock", "walk")},
        ),
        _only_tracepoint("ksm_start_scan", "on_start_scan"),
    ),
    EventKind.SCAN_STOP: (
        Way(
            "cursor",
            _DERIVED,
            (_SWITCH,),
            _CURSOR,
            reads="ksm_scan.seqnr",
            note="seen when ksmd next sleeps or scans",
            beside={EventKind.SCAN_START: ("cursor",)},
        ),
        _only_tracepoint("ksm_stop_scan", "on_stop_scan"),
        _total("full_scans"),
    ),
    EventKind.MM_ENTER: (
        _by_function((entry("__ksm_enter", "on_ksm_enter"),), "mm.c"),
        Way("tracepoint", _EXACT, (tracepoint("ksm_enter", "on_ksm_enter"),), ("mm.c",)),
    ),
    EventKind.MM_EXIT: (
        _by_function((entry("__ksm_exit", "on_ksm_exit"),), "mm.c"),
        Way("tracepoint", _EXACT, (tracepoint("ksm_exit", "on_ksm_exit"),), ("mm.c",)),
    ),
    EventKind.PROCESS: (
        Way(
            "owner",
            _DERIVED,
            sources=("process.c",),
            reads="mm->owner",
            note="read when ksmd comes to the mm",
            beside={EventKind.MM_ENTER: ("function", "tracepoint")},
        ),
    ),
    EventKind.TUNABLE: (
        Way(
            "store",
            _EXACT,
            both("sysfs_kf_write", "on_sysfs_kf_write"),
            ("tunable.c",),
            reads="ksm_attrs",
            note="stands where the write returned",
        ),
        Way(
            "reread",
            _SAMPLED,
            reads="/sys/kernel/mm/ksm",
            note="read with the counters: a write is seen late; one that was refused, or undone meanwhile, never",
        ),
    ),
    EventKind.SAMPLE: (_total("", "read now and then, and by the probe itself as a pass ends"),),
}
