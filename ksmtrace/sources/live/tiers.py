"""Which probes see which event: one table per tier, best first. A new way to see an event is a row here.

Kernel versions play no part: a tier is chosen when the kernel has everything that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from ksmtrace.events.kinds import EventKind
from ksmtrace.session import Exactness, Probe


@dataclass(frozen=True, slots=True)
class Attach:
    """One BPF program and where it goes.

    Attributes:
        how: "kprobe", "kretprobe", "raw_tracepoint" or "ksmd_switch" (ksmd's own context switches).
        target: function or tracepoint.
        program: function in bpf/*.c.
        offset: bytes from the function's start; other than 0 only for a kprobe.
    """

    how: str
    target: str
    program: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Offset:
    """A -D number for the BPF text: a member's offset by BTF; the first (struct, member) that exists counts."""

    macro: str
    members: tuple[tuple[str, str], ...]


def _offset(macro: str, *members: str) -> Offset:
    """`members` are written "struct.member", best first."""
    pairs = tuple(tuple(member.split(".", 1)) for member in members)
    return Offset(macro, cast("tuple[tuple[str, str], ...]", pairs))


@dataclass(frozen=True, slots=True)
class Tier:
    """A set of probes that works as a whole.

    Attributes:
        sources: files of bpf/, in the order in which they are compiled.
        attaches: where the programs go.
        symbols: data symbols whose addresses the BPF text needs, as SYM_<NAME>.
        offsets: struct offsets that the BPF text needs.
        probes: how each kind of event is seen.
        defines: further -D numbers, or C expressions.
        not_with: "struct.member"s on whose kernels the tier would be wrong.
    """

    name: str
    sources: tuple[str, ...]
    attaches: tuple[Attach, ...]
    symbols: tuple[str, ...]
    offsets: tuple[Offset, ...]
    probes: Mapping[EventKind, Probe]
    defines: Mapping[str, int | str] = field(default_factory=dict)
    not_with: tuple[str, ...] = ()


_COMMON_OFFSETS = (
    _offset("RMAP_ITEM_ADDRESS", "ksm_rmap_item.address", "rmap_item.address"),
    _offset("MM_OWNER", "mm_struct.owner"),
    _offset("TASK_TGID", "task_struct.tgid"),
    _offset("TASK_COMM", "task_struct.comm"),
)


def _exact(via: str, note: str = "") -> Probe:
    return Probe(via, Exactness.EXACT, note)


def _derived(via: str, note: str) -> Probe:
    return Probe(via, Exactness.DERIVED, note)


def _absent(note: str) -> Probe:
    return Probe("", Exactness.ABSENT, note)


_READ_COUNTERS = Probe(
    "/sys/kernel/mm/ksm, /proc/vmstat, /proc/<ksmd>/schedstat", Exactness.SAMPLED
)

_FULL_ATTACHES = (
    Attach("kprobe", "__ksm_enter", "on_ksm_enter"),
    Attach("kprobe", "__ksm_exit", "on_ksm_exit"),
    Attach("kprobe", "break_ksm", "on_break_ksm"),
    Attach("kretprobe", "break_ksm", "on_break_ksm_return"),
    Attach("kprobe", "do_wp_page", "on_do_wp_page"),
    Attach("kretprobe", "do_wp_page", "on_do_wp_page_return"),
    Attach("kprobe", "break_cow", "on_break_cow"),
    Attach("kprobe", "stable_tree_append", "on_stable_tree_append"),
    Attach("kprobe", "remove_node_from_stable_tree", "on_remove_node_from_stable_tree"),
    Attach("kprobe", "try_to_merge_with_ksm_page", "on_try_to_merge_with_ksm_page"),
    Attach("kretprobe", "try_to_merge_with_ksm_page", "on_try_to_merge_with_ksm_page_return"),
    Attach("kprobe", "try_to_merge_one_page", "on_try_to_merge_one_page"),
    Attach("kretprobe", "try_to_merge_one_page", "on_try_to_merge_one_page_return"),
    Attach("kprobe", "remove_rmap_item_from_tree", "on_remove_rmap_item_from_tree"),
    Attach("ksmd_switch", "ksmd", "on_ksmd_switched_out"),
)
_BY_LOCK = (Attach("raw_tracepoint", "mmap_lock_released", "on_mmap_lock_released"),)
_BY_WALK = (
    Attach("kprobe", "ksm_next_page_pmd_entry", "on_pmd_entry"),
    Attach("kretprobe", "ksm_next_page_pmd_entry", "on_pmd_entry_return"),
)

_FULL_SYMBOLS = (
    "ksm_scan",
    "ksm_mm_head",
    "vmemmap_base",
    "ksm_pages_shared",
    "ksm_pages_sharing",
    "ksm_pages_unshared",
    "ksm_rmap_items",
)

_FULL_OFFSETS = (
    *_COMMON_OFFSETS,
    _offset("RMAP_ITEM_MM", "ksm_rmap_item.mm", "rmap_item.mm"),
    _offset("RMAP_ITEM_OLDCHECKSUM", "ksm_rmap_item.oldchecksum", "rmap_item.oldchecksum"),
    _offset("RMAP_ITEM_HEAD", "ksm_rmap_item.head", "rmap_item.head"),
    _offset("STABLE_NODE_KPFN", "ksm_stable_node.kpfn", "stable_node.kpfn"),
    _offset("STABLE_NODE_HLIST", "ksm_stable_node.hlist", "stable_node.hlist"),
    _offset("KSM_SCAN_MM_SLOT", "ksm_scan.mm_slot"),
    _offset("KSM_SCAN_ADDRESS", "ksm_scan.address"),
    _offset("KSM_SCAN_RMAP_LIST", "ksm_scan.rmap_list"),
    _offset("KSM_SCAN_SEQNR", "ksm_scan.seqnr"),
    # khugepaged has a struct mm_slot too; before 6.1 ours is the one that has the member
    _offset("MM_SLOT_MM", "ksm_mm_slot.slot.mm", "mm_slot.mm"),
    _offset("MM_SLOT_MM_NODE", "ksm_mm_slot.slot.mm_node", "mm_slot.mm_list"),
    _offset("MM_SLOT_RMAP_LIST", "ksm_mm_slot.rmap_list", "mm_slot.rmap_list"),
    _offset("VMA_MM", "vm_area_struct.vm_mm"),
    _offset("VMF_VMA", "vm_fault.vma"),
    _offset("VMF_ADDRESS", "vm_fault.address"),
    _offset("VMF_ORIG_PTE", "vm_fault.orig_pte"),
    _offset("PAGE_MAPPING", "page.mapping", "folio.mapping"),
    _offset("TASK_STATE", "task_struct.__state", "task_struct.state"),
)
_WALK_OFFSETS = (
    _offset("MM_WALK_PRIVATE", "mm_walk.private"),
    _offset("NEXT_PAGE_PAGE", "ksm_next_page_arg.page"),
    _offset("NEXT_PAGE_ADDR", "ksm_next_page_arg.addr"),
)

_FULL_PROBES = {
    EventKind.TRY_TO_MERGE_ONE_PAGE: _exact("kprobe and kretprobe try_to_merge_one_page"),
    EventKind.REPLACE_PAGE: _derived(
        "kretprobe try_to_merge_one_page",
        "inlined; seen when it succeeds, a failed one is not told from a failed write protection",
    ),
    EventKind.BREAK_COW: _exact(
        "kprobe break_cow", "ksmd's own; a user's write to a KSM page is a cow_fault"
    ),
    EventKind.STABLE_APPEND: _exact("kprobe stable_tree_append"),
    EventKind.REMOVE_RMAP_ITEM: _exact("kprobe remove_rmap_item_from_tree"),
    EventKind.REMOVE_STABLE_NODE: _exact("kprobe remove_node_from_stable_tree"),
    EventKind.SCAN_START: _derived("ksm_scan.seqnr", "seen at the first page of the pass"),
    EventKind.SCAN_STOP: _derived("ksm_scan.seqnr", "seen when ksmd next sleeps or scans"),
    EventKind.MM_ENTER: _exact("kprobe __ksm_enter"),
    EventKind.MM_EXIT: _exact("kprobe __ksm_exit"),
    EventKind.PROCESS: _derived("mm->owner", "read when ksmd comes to the mm"),
    EventKind.SAMPLE: _READ_COUNTERS,
    EventKind.COW_FAULT: _exact("kprobe and kretprobe do_wp_page, page->mapping"),
}
_SKIPPED = _derived(
    "kprobe remove_rmap_item_from_tree + ksm_scan cursor",
    "the candidate's removal before ksmd lets go of the lock",
)
_FULL_SOURCES = ("ksm_event.h", "common.h", "scan.c")
_FULL_REST = ("merge.c", "stable_tree.c", "mm.c", "fault.c")

FULL = Tier(
    name="full",
    sources=(*_FULL_SOURCES, "candidate_lock.c", "candidate_walk.c", *_FULL_REST),
    attaches=(*_FULL_ATTACHES, *_BY_WALK, *_BY_LOCK),
    symbols=_FULL_SYMBOLS,
    offsets=(*_FULL_OFFSETS, *_WALK_OFFSETS),
    probes={
        EventKind.CMP_AND_MERGE_PAGE: _derived(
            "raw_tracepoint mmap_lock_released + ksm_scan cursor",
            "inlined; one event per candidate, checked against ksm_next_page_pmd_entry",
        ),
        EventKind.SKIPPED: _SKIPPED,
        **_FULL_PROBES,
    },
)

FULL_WITHOUT_WALK = Tier(
    name="full-lock",
    sources=(*_FULL_SOURCES, "candidate_lock.c", *_FULL_REST),
    attaches=(*_FULL_ATTACHES, *_BY_LOCK),
    symbols=_FULL_SYMBOLS,
    offsets=_FULL_OFFSETS,
    probes={
        EventKind.CMP_AND_MERGE_PAGE: _derived(
            "raw_tracepoint mmap_lock_released + ksm_scan cursor",
            "inlined; one event per candidate, its pfn unknown, and no second count to check it against",
        ),
        EventKind.SKIPPED: _SKIPPED,
        **_FULL_PROBES,
    },
)

FULL_WITHOUT_LOCK = Tier(
    name="full-walk",
    sources=(*_FULL_SOURCES, "candidate_walk.c", *_FULL_REST),
    attaches=(*_FULL_ATTACHES, *_BY_WALK),
    symbols=_FULL_SYMBOLS,
    offsets=(*_FULL_OFFSETS, *_WALK_OFFSETS),
    defines={"WITHOUT_MMAP_LOCK_TRACEPOINT": 1},
    # Smart scan's removals could not be told from the candidate's; kernels that have it have the tracepoint.
    not_with=("ksm_rmap_item.remaining_skips",),
    probes={
        EventKind.CMP_AND_MERGE_PAGE: _derived(
            "kretprobe ksm_next_page_pmd_entry + ksm_scan cursor",
            "inlined; one event per page found, its rmap_item read when ksmd first touches it or moves on",
        ),
        EventKind.SKIPPED: _absent("this kernel has no smart scan"),
        **_FULL_PROBES,
    },
)

TRACEPOINT = Tier(
    name="tracepoint",
    sources=("ksm_event.h", "common.h", "tracepoint.c"),
    attaches=(
        Attach("raw_tracepoint", "ksm_start_scan", "on_start_scan"),
        Attach("raw_tracepoint", "ksm_stop_scan", "on_stop_scan"),
        Attach("raw_tracepoint", "ksm_enter", "on_enter"),
        Attach("raw_tracepoint", "ksm_exit", "on_exit"),
        Attach("raw_tracepoint", "ksm_merge_one_page", "on_merge_one_page"),
        Attach("raw_tracepoint", "ksm_merge_with_ksm_page", "on_merge_with_ksm_page"),
        Attach("raw_tracepoint", "ksm_remove_ksm_page", "on_remove_ksm_page"),
    ),
    symbols=(),
    offsets=_COMMON_OFFSETS,
    probes={
        EventKind.CMP_AND_MERGE_PAGE: _absent(
            "no tracepoint per page examined; counters.pages_scanned has the total"
        ),
        EventKind.TRY_TO_MERGE_ONE_PAGE: _derived(
            "raw_tracepoint ksm_merge_with_ksm_page, ksm_merge_one_page",
            "an attempt refused because its VMA is gone counts as one",
        ),
        EventKind.REPLACE_PAGE: _derived(
            "raw_tracepoint ksm_merge_with_ksm_page, ksm_merge_one_page",
            "a fork's copy of a KSM page counts as one, though nothing is replaced",
        ),
        EventKind.BREAK_COW: _derived(
            "raw_tracepoint ksm_merge_with_ksm_page", "the second half of a pair failed"
        ),
        EventKind.STABLE_APPEND: _derived(
            "raw_tracepoint ksm_merge_with_ksm_page", "every success is appended"
        ),
        EventKind.REMOVE_RMAP_ITEM: _absent(
            "no tracepoint when a page leaves a tree: breaks, unmaps and exits are not seen one by one"
        ),
        EventKind.REMOVE_STABLE_NODE: _exact("raw_tracepoint ksm_remove_ksm_page"),
        EventKind.SKIPPED: _absent("no tracepoint; counters.pages_skipped has the total"),
        EventKind.COW_FAULT: _absent("no tracepoint; counters.cow_ksm has the total"),
        EventKind.SCAN_START: _exact("raw_tracepoint ksm_start_scan"),
        EventKind.SCAN_STOP: _exact("raw_tracepoint ksm_stop_scan"),
        EventKind.MM_ENTER: _exact("raw_tracepoint ksm_enter"),
        EventKind.MM_EXIT: _exact("raw_tracepoint ksm_exit"),
        EventKind.PROCESS: _derived("mm->owner", "read when a page of the mm is merged"),
        EventKind.SAMPLE: _READ_COUNTERS,
    },
)

TIERS = (FULL, FULL_WITHOUT_WALK, FULL_WITHOUT_LOCK, TRACEPOINT)
"""Best first."""
