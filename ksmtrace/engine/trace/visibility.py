"""Which events of which variant can be seen, and at which function."""

from __future__ import annotations

from dataclasses import replace

from ksmtrace.engine.ksm.counters import RMAP_ITEM_SIZE
from ksmtrace.engine.ksm.variant import Variant, Visibility
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.machine.scanner import Scanner
from ksmtrace.engine.relatives.pksm_item import PKSM_RMAP_ITEM_SIZE
from ksmtrace.engine.uksm.slot import RMAP_ITEM_SIZE as UKSM_RMAP_ITEM_SIZE
from ksmtrace.events import EventKind
from ksmtrace.session import ENGINE, Exactness, Kernel, Knowledge, Probe, Session

_KSM = {
    EventKind.CMP_AND_MERGE_PAGE: "cmp_and_merge_page",
    EventKind.TRY_TO_MERGE_ONE_PAGE: "try_to_merge_one_page",
    EventKind.REPLACE_PAGE: "replace_page",
    EventKind.BREAK_COW: "break_cow",
    EventKind.STABLE_APPEND: "stable_tree_append",
    EventKind.REMOVE_RMAP_ITEM: "remove_rmap_item_from_tree",
    EventKind.REMOVE_STABLE_NODE: "remove_node_from_stable_tree",
    EventKind.SCAN_START: "scan_get_next_rmap_item",
    EventKind.SCAN_STOP: "scan_get_next_rmap_item",
    EventKind.MM_ENTER: "ksm_enter",
    EventKind.MM_EXIT: "ksm_exit",
    EventKind.PROCESS: "ksm_enter, scan_get_next_rmap_item",
    EventKind.SAMPLE: "read_counters",
    EventKind.SKIPPED: "should_skip_rmap_item",
    EventKind.COW_FAULT: "do_wp_page",
    EventKind.TUNABLE: "write_tunable, write_run",
}

_PKSM = {
    EventKind.CMP_AND_MERGE_PAGE: "cmp_and_merge_page",
    EventKind.TRY_TO_MERGE_ONE_PAGE: "try_to_merge_one_anon_page, try_to_merge_zero_page",
    EventKind.REPLACE_PAGE: "replace_page",
    EventKind.STABLE_APPEND: "stable_tree_append",
    EventKind.REMOVE_RMAP_ITEM: "remove_rmap_item_from_tree, pksm_free_rmap_item",
    EventKind.REMOVE_STABLE_NODE: "remove_rmap_item_from_tree",
    EventKind.SCAN_START: "scan_batch",
    EventKind.SCAN_STOP: "scan_batch",
    EventKind.PROCESS: "cmp_and_merge_page",
    EventKind.SAMPLE: "readings",
    EventKind.TUNABLE: "write_tunable, write_run",
    EventKind.COW_FAULT: "do_wp_page",
}
_ZERO_PAGE = {
    EventKind.CMP_AND_MERGE_PAGE: "scan_batch",
    EventKind.TRY_TO_MERGE_ONE_PAGE: "scan_batch",
    EventKind.REPLACE_PAGE: "scan_batch",
    EventKind.SCAN_START: "scan_batch",
    EventKind.SCAN_STOP: "scan_batch",
    EventKind.PROCESS: "scan_batch",
    EventKind.SAMPLE: "readings",
    EventKind.TUNABLE: "write_tunable, write_run",
    EventKind.COW_FAULT: "do_wp_page, write_run",
}
_UKSM = {
    EventKind.CMP_AND_MERGE_PAGE: "scan_vma_one_page, cmp_and_merge_page",
    EventKind.TRY_TO_MERGE_ONE_PAGE: (
        "try_to_merge_with_uksm_page, try_to_merge_two_pages, cmp_and_merge_zero_page"
    ),
    EventKind.REPLACE_PAGE: "replace_page",
    EventKind.STABLE_APPEND: "stable_tree_append",
    EventKind.REMOVE_RMAP_ITEM: "remove_rmap_item_from_tree",
    EventKind.REMOVE_STABLE_NODE: "remove_node_from_stable_tree",
    EventKind.BREAK_COW: "break_cow",
    EventKind.SCAN_START: "uksm_do_scan",
    EventKind.SCAN_STOP: "round_update_ladder",
    EventKind.PROCESS: "scan_vma_one_page",
    EventKind.SAMPLE: "readings",
    EventKind.TUNABLE: "write_tunable, write_run",
    EventKind.COW_FAULT: "do_wp_page",
}

_NO_REGISTRATION = "all memory is scanned: nobody registers"
_KSM_NOTES = {
    EventKind.SNAPSHOT: "the engine starts with nothing merged",
    EventKind.PROCESS_TEXT: "the engine has no /proc",
    EventKind.PROCESS_SAMPLE: "the engine has no /proc",
}
_PKSM_NOTES = _KSM_NOTES | {
    EventKind.CMP_AND_MERGE_PAGE: (
        "one rmap_item per physical page, examined once and freed with the page; mm and address "
        "are those it was allocated at. How many share a page cannot be followed"
    ),
    EventKind.TRY_TO_MERGE_ONE_PAGE: (
        "one per page; err is 1 where the walk over its mappings failed (PKSM_FAULT_DROP), 2 where "
        "it is to be tried again (PKSM_FAULT_TRY)"
    ),
    EventKind.STABLE_APPEND: "one per page merged, the KSM page's own first",
    EventKind.SAMPLE: (
        "pages_shared and pages_sharing are KSM pages mapped and the entries beyond the first of "
        "each, which the files of pksm do not tell; general_profit is made of them"
    ),
    EventKind.BREAK_COW: "pksm cannot undo the first half of a merge",
    EventKind.MM_ENTER: _NO_REGISTRATION,
    EventKind.MM_EXIT: _NO_REGISTRATION,
    EventKind.SKIPPED: "pksm has no smart scan",
}
_ZERO_PAGE_NOTES = _KSM_NOTES | {
    EventKind.CMP_AND_MERGE_PAGE: (
        "a page compared with zeroes: there are no rmap_items, no checksums and no trees, so that "
        "what became of a page that is not empty is no question"
    ),
    EventKind.SAMPLE: "there are no KSM pages: zero pages are all that is merged",
    EventKind.MM_ENTER: _NO_REGISTRATION,
    EventKind.MM_EXIT: _NO_REGISTRATION,
    EventKind.COW_FAULT: "zero pages that the daemon placed, written to or given back by run=2",
    **dict.fromkeys(
        (
            *(EventKind.STABLE_APPEND, EventKind.REMOVE_STABLE_NODE, EventKind.REMOVE_RMAP_ITEM),
            *(EventKind.BREAK_COW, EventKind.SKIPPED),
        ),
        "there are no trees",
    ),
}
_UKSM_NOTES = _KSM_NOTES | {
    EventKind.CMP_AND_MERGE_PAGE: (
        "pages in the order in which they are drawn; a checksum is of the words sampled, and "
        "changes with the hash strength"
    ),
    EventKind.TRY_TO_MERGE_ONE_PAGE: "of two halves the first is undone without BREAK_COW",
    EventKind.BREAK_COW: "only where two KSM pages have equal hashes at every strength",
    EventKind.SCAN_START: "a pass is a round over all rungs, in which not every page is visited",
    EventKind.SAMPLE: "full_scans is the file's count, of which a pass is no step",
    EventKind.MM_ENTER: "a VMA has a slot, a process has none: nobody registers",
    EventKind.MM_EXIT: "a VMA has a slot, a process has none: nobody registers",
    EventKind.SKIPPED: "uksm has no smart scan; it samples",
}


KSM = Visibility(_KSM, _KSM_NOTES, RMAP_ITEM_SIZE)
"""Of all versions of KSM."""

PKSM = Visibility(
    _PKSM,
    _PKSM_NOTES,
    PKSM_RMAP_ITEM_SIZE,
    frozenset({Knowledge.RMAP_ITEMS, Knowledge.KSM_FILES}),
)
"""Of PKSM."""

ZERO_PAGE = Visibility(
    _ZERO_PAGE,
    _ZERO_PAGE_NOTES,
    0,
    frozenset({Knowledge.RMAP_ITEMS, Knowledge.TREES, Knowledge.KSM_FILES}),
)
"""Of zero-page merging."""

UKSM = Visibility(
    _UKSM,
    _UKSM_NOTES,
    UKSM_RMAP_ITEM_SIZE,
    frozenset(
        {
            *(Knowledge.CHECKSUMS, Knowledge.METADATA),
            *(Knowledge.SINGLE_LOOKS, Knowledge.KSM_FILES),
        }
    ),
)
"""Of UKSM."""


def engine_session(variant: Variant, scanner: Scanner) -> Session:
    """The facts of an engine's run; each kind of event is seen exactly, or not at all."""
    seen, notes = variant.visibility.seen, variant.visibility.notes
    shown = scanner.shown_tunables
    if EventKind.SKIPPED in seen and "smart_scan" not in shown:
        seen = {kind: at for kind, at in seen.items() if kind is not EventKind.SKIPPED}
        notes = {**notes, EventKind.SKIPPED: "this version has no smart scan"}
    kinds = {**seen, **notes}
    probes = {kind: _probe(seen.get(kind, ""), notes.get(kind, "")) for kind in kinds}
    examined = probes.get(EventKind.CMP_AND_MERGE_PAGE, _probe("", ""))
    probes[EventKind.CMP_AND_MERGE_PAGE] = replace(examined, lacks=variant.visibility.lacks)
    return Session(
        source="engine",
        kernel=Kernel(variant.name, "", ENGINE, PAGE_SIZE, variant.visibility.item_bytes),
        tier="full",
        probes=probes,
        tunables=shown,
    )


def _probe(function: str, note: str) -> Probe:
    if not function:
        return Probe("", Exactness.ABSENT, note)
    return Probe(f"engine:{function}", Exactness.EXACT, note)
