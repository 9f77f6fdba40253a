"""Which probes see which event: one table per tier, best first. A new way to see an event is a row here.

Kernel versions play no part: a tier is chosen when the kernel has everything that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ksmtrace.events.kinds import EventKind
from ksmtrace.session import Exactness, Probe


@dataclass(frozen=True, slots=True)
class Attach:
    """One BPF program and where it goes.

    Attributes:
        how: "kprobe", "kretprobe", "raw_tracepoint" or "ksmd_switch" (ksmd's own context switches).
        target: function or tracepoint.
        program: function in bpf/*.c.
    """

    how: str
    target: str
    program: str


@dataclass(frozen=True, slots=True)
class Offset:
    """A -D number for the BPF text: a member's offset by BTF; the first struct that exists counts."""

    macro: str
    structs: tuple[str, ...]
    member: str


@dataclass(frozen=True, slots=True)
class Tier:
    """A set of probes that works as a whole.

    Attributes:
        sources: files of bpf/, in the order in which they are compiled.
        attaches: where the programs go.
        symbols: data symbols whose addresses the BPF text needs, as SYM_<NAME>.
        offsets: struct offsets that the BPF text needs.
        probes: how each kind of event is seen.
    """

    name: str
    sources: tuple[str, ...]
    attaches: tuple[Attach, ...]
    symbols: tuple[str, ...]
    offsets: tuple[Offset, ...]
    probes: Mapping[EventKind, Probe]


_RMAP_ITEM = ("ksm_rmap_item", "rmap_item")
_STABLE_NODE = ("ksm_stable_node", "stable_node")

_COMMON_OFFSETS = (
    Offset("RMAP_ITEM_ADDRESS", _RMAP_ITEM, "address"),
    Offset("MM_OWNER", ("mm_struct",), "owner"),
    Offset("TASK_TGID", ("task_struct",), "tgid"),
    Offset("TASK_COMM", ("task_struct",), "comm"),
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

FULL = Tier(
    name="full",
    sources=("ksm_event.h", "common.h", "scan.c", "merge.c", "stable_tree.c", "mm.c"),
    attaches=(
        Attach("kprobe", "__ksm_enter", "on_ksm_enter"),
        Attach("kprobe", "__ksm_exit", "on_ksm_exit"),
        Attach("kprobe", "break_cow", "on_break_cow"),
        Attach("kprobe", "stable_tree_append", "on_stable_tree_append"),
        Attach("kprobe", "remove_node_from_stable_tree", "on_remove_node_from_stable_tree"),
        Attach("kprobe", "try_to_merge_with_ksm_page", "on_try_to_merge_with_ksm_page"),
        Attach("kretprobe", "try_to_merge_with_ksm_page", "on_try_to_merge_with_ksm_page_return"),
        Attach("kprobe", "try_to_merge_one_page", "on_try_to_merge_one_page"),
        Attach("kretprobe", "try_to_merge_one_page", "on_try_to_merge_one_page_return"),
        Attach("kprobe", "remove_rmap_item_from_tree", "on_remove_rmap_item_from_tree"),
        Attach("ksmd_switch", "ksmd", "on_ksmd_switched_out"),
        Attach("kprobe", "ksm_next_page_pmd_entry", "on_pmd_entry"),
        Attach("kretprobe", "ksm_next_page_pmd_entry", "on_pmd_entry_return"),
        Attach("raw_tracepoint", "mmap_lock_released", "on_mmap_lock_released"),
    ),
    symbols=(
        "ksm_scan",
        "ksm_mm_head",
        "vmemmap_base",
        "ksm_pages_shared",
        "ksm_pages_sharing",
        "ksm_pages_unshared",
        "ksm_rmap_items",
    ),
    offsets=(
        *_COMMON_OFFSETS,
        Offset("RMAP_ITEM_MM", _RMAP_ITEM, "mm"),
        Offset("RMAP_ITEM_OLDCHECKSUM", _RMAP_ITEM, "oldchecksum"),
        Offset("RMAP_ITEM_HEAD", _RMAP_ITEM, "head"),
        Offset("STABLE_NODE_KPFN", _STABLE_NODE, "kpfn"),
        Offset("STABLE_NODE_HLIST", _STABLE_NODE, "hlist"),
        Offset("KSM_SCAN_MM_SLOT", ("ksm_scan",), "mm_slot"),
        Offset("KSM_SCAN_ADDRESS", ("ksm_scan",), "address"),
        Offset("KSM_SCAN_RMAP_LIST", ("ksm_scan",), "rmap_list"),
        Offset("KSM_SCAN_SEQNR", ("ksm_scan",), "seqnr"),
        Offset("MM_SLOT_MM", ("ksm_mm_slot",), "slot.mm"),
        Offset("MM_SLOT_MM_NODE", ("ksm_mm_slot",), "slot.mm_node"),
        Offset("MM_SLOT_RMAP_LIST", ("ksm_mm_slot",), "rmap_list"),
        Offset("VMA_MM", ("vm_area_struct",), "vm_mm"),
        Offset("MM_WALK_PRIVATE", ("mm_walk",), "private"),
        Offset("NEXT_PAGE_PAGE", ("ksm_next_page_arg",), "page"),
        Offset("NEXT_PAGE_ADDR", ("ksm_next_page_arg",), "addr"),
        Offset("TASK_STATE", ("task_struct",), "__state"),
    ),
    probes={
        EventKind.CMP_AND_MERGE_PAGE: _derived(
            "raw_tracepoint mmap_lock_released + ksm_scan cursor",
            "inlined; one event per candidate, checked against ksm_next_page_pmd_entry",
        ),
        EventKind.TRY_TO_MERGE_ONE_PAGE: _exact("kprobe and kretprobe try_to_merge_one_page"),
        EventKind.REPLACE_PAGE: _derived(
            "kretprobe try_to_merge_one_page",
            "inlined; seen when it succeeds, a failed one is not told from a failed write protection",
        ),
        EventKind.BREAK_COW: _exact(
            "kprobe break_cow", "ksmd's own; a user's write to a KSM page does not pass here"
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
        EventKind.SCAN_START: _exact("raw_tracepoint ksm_start_scan"),
        EventKind.SCAN_STOP: _exact("raw_tracepoint ksm_stop_scan"),
        EventKind.MM_ENTER: _exact("raw_tracepoint ksm_enter"),
        EventKind.MM_EXIT: _exact("raw_tracepoint ksm_exit"),
        EventKind.PROCESS: _derived("mm->owner", "read when a page of the mm is merged"),
        EventKind.SAMPLE: _READ_COUNTERS,
    },
)

TIERS = (FULL, TRACEPOINT)
"""Best first."""
