"""The parts of the BPF program: each file of bpf/, what it provides, and what it needs.

`PARTS` is in the order of the C text, in which a function is above its callers. That the
declarations are those of the files is tested (tests/unit/sources/live/test_bpf_parts.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache

from ksmtrace.sources.live.probe_spec import ProbeSpec


@dataclass(frozen=True, slots=True)
class Extra:
    """Code of a part that is compiled only where the kernel has all that it names.

    Attributes:
        macro: by which the text asks whether it is compiled: `#ifdef`.
        features: of BPF, as in `kernel.bpf_features`.
    """

    macro: str
    offsets: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One file of bpf/.

    Attributes:
        bodies: functions that hooks can name, with the number of their parameters.
        uses: files whose functions it calls, besides those that are in every program.
        offsets: members of the kernel's structs, as macros of `struct_offsets.OFFSETS`.
        symbols: of the kernel, as in kallsyms; the text names them SYM_<NAME>.
        functions: the same, whose range it needs: SYM_<NAME> and END_<NAME>.
        callbacks: functions that a feature's loop calls, by the body that starts it.
        tails: programs to which hooks jump where the kernel has no such loop, in the order of the
            array `gather_tails`.
        extras: what it can do without.
        in_every_program: whether it is there unasked.
        instead_of: the file in whose absence it is.
    """

    file: str
    bodies: Mapping[str, int] = field(default_factory=dict)
    uses: tuple[str, ...] = ()
    offsets: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    extras: tuple[Extra, ...] = ()
    callbacks: Mapping[str, str] = field(default_factory=dict)
    tails: tuple[str, ...] = ()
    in_every_program: bool = False
    instead_of: str = ""


_ITEM = ("RMAP_ITEM_ADDRESS", "RMAP_ITEM_MM")

PARTS = (
    Part("ksm_event.h", in_every_program=True),
    Part("common.h", offsets=("RMAP_ITEM_ADDRESS",), in_every_program=True),
    Part("gather.h"),
    Part("process.c", offsets=("MM_OWNER", "TASK_TGID", "TASK_COMM")),
    Part("process_unknown.c", in_every_program=True, instead_of="process.c"),
    Part("item.c", offsets=(*_ITEM, "RMAP_ITEM_OLDCHECKSUM", "RMAP_ITEM_HEAD")),
    Part(
        "scan.c",
        offsets=("KSM_SCAN_MM_SLOT", "KSM_SCAN_ADDRESS", "KSM_SCAN_RMAP_LIST", "KSM_SCAN_SEQNR"),
        symbols=("ksm_scan",),
    ),
    Part(
        "marks.c",
        uses=("item.c", "scan.c"),
        offsets=("KSM_SCAN_RMAP_LIST", "MM_SLOT_MM", "MM_SLOT_RMAP_LIST"),
        symbols=("ksm_scan", "ksm_mm_head"),
        functions=("remove_rmap_item_from_tree",),
    ),
    Part("marks_none.c", in_every_program=True, instead_of="marks.c"),
    Part("skips.c", symbols=("ksm_pages_skipped",)),
    Part("skips_none.c", in_every_program=True, instead_of="skips.c"),
    Part("state.c", extras=(Extra("WITH_VMEMMAP", symbols=("vmemmap_base",)),)),
    Part(
        "cursor.c",
        bodies={"on_ksmd_switched_out": 0},
        uses=("item.c", "scan.c", "state.c"),
        offsets=("TASK_STATE",),
        symbols=(
            "ksm_mm_head",
            *("ksm_pages_shared", "ksm_pages_sharing", "ksm_pages_unshared", "ksm_rmap_items"),
        ),
    ),
    Part("candidate_entry.c", bodies={"on_cmp_and_merge_page": 1}, uses=("cursor.c",)),
    Part(
        "candidate_lock.c",
        bodies={"on_mmap_lock_released": 1},
        uses=("cursor.c",),
        offsets=("MM_SLOT_MM",),
        symbols=("ksm_mm_head",),
    ),
    Part(
        "candidate_walk.c",
        bodies={"on_pmd_entry": 4, "on_pmd_entry_return": 5, "on_node_leaving": 0},
        uses=("cursor.c",),
        offsets=(
            *("MM_SLOT_MM_NODE", "MM_SLOT_RMAP_LIST"),
            *("MM_WALK_PRIVATE", "NEXT_PAGE_PAGE", "NEXT_PAGE_ADDR"),
        ),
        symbols=("ksm_mm_head",),
    ),
    Part(
        "fault.c",
        bodies={
            "on_break_ksm": 0,
            "on_break_ksm_return": 1,
            "on_do_wp_page": 1,
            "on_do_wp_page_return": 1,
        },
        offsets=("PAGE_MAPPING", "VMA_MM", "VMF_VMA", "VMF_ADDRESS", "VMF_ORIG_PTE"),
        symbols=("vmemmap_base",),
        extras=(Extra("WITH_COMPOUND", offsets=("PAGE_COMPOUND_HEAD",)),),
    ),
    Part(
        "merge.c",
        bodies={
            "on_try_to_merge_with_ksm_page": 3,
            "on_try_to_merge_with_ksm_page_return": 1,
            "on_try_to_merge_one_page": 3,
            "on_try_to_merge_one_page_return": 1,
        },
        uses=("item.c", "state.c"),
        offsets=(*_ITEM, "VMA_MM"),
        extras=(
            Extra("WITH_COMPOUND", offsets=("PAGE_COMPOUND_HEAD",)),
            Extra("WITH_HEAD_FLAG", offsets=("PAGE_FLAGS", "PAGE_FLAG_HEAD", "PAGE_COMPOUND_HEAD")),
            Extra(
                "WITH_PAGE_STATE",
                offsets=("PAGE_FLAGS", "PAGE_COMPOUND_HEAD", "PAGE_REFCOUNT", "PAGE_MAPCOUNT"),
            ),
        ),
    ),
    Part("mm.c", bodies={"on_ksm_enter": 1, "on_ksm_exit": 1}, offsets=("TASK_MM",)),
    Part(
        "removal.c",
        bodies={"on_remove_rmap_item_from_tree": 1},
        uses=("cursor.c",),
    ),
    Part("replace_page.c", bodies={"on_replace_page": 0}, uses=("state.c",)),
    Part(
        "stable_tree.c",
        bodies={
            "on_stable_tree_append": 2,
            "on_remove_node_from_stable_tree": 2,
            "on_break_cow": 1,
        },
        uses=("item.c", "state.c"),
        offsets=("STABLE_NODE_KPFN", "STABLE_NODE_HLIST"),
    ),
    Part(
        "tracepoint.c",
        bodies={
            "on_start_scan": 1,
            "on_stop_scan": 1,
            "on_merge_one_page": 4,
            "on_merge_with_ksm_page": 5,
            "on_remove_ksm_page": 1,
        },
    ),
    Part(
        "tunable.c",
        bodies={"on_sysfs_kf_write": 3, "on_sysfs_kf_write_return": 1},
        offsets=("ATTRIBUTE_NAME", "KERNFS_NODE_PRIV", "KERNFS_OPEN_FILE_KN"),
        symbols=("ksm_attrs",),
    ),
    Part(
        "gather_item.c",
        offsets=(
            *_ITEM,
            *("RMAP_ITEM_HEAD", "RMAP_ITEM_OLDCHECKSUM", "RMAP_ITEM_RMAP_LIST"),
        ),
        extras=(
            Extra("WITH_TYPED_LOADS", features=("bpf_rdonly_cast",)),
            Extra(
                "WITH_AGES", offsets=("RMAP_ITEM_AGE", "RMAP_ITEM_OLDCHECKSUM", "RMAP_ITEM_SKIPS")
            ),
        ),
    ),
    Part(
        "gather_walk.c",
        uses=("gather.h", "gather_item.c"),
        offsets=("MM_SLOT_MM", "MM_SLOT_MM_NODE", "MM_SLOT_RMAP_LIST"),
        symbols=("ksm_mm_head",),
        extras=(
            Extra("WITH_PAGES_SKIPPED", symbols=("ksm_pages_skipped",)),
            Extra("WITH_PAGES_SCANNED", symbols=("ksm_pages_scanned",)),
        ),
    ),
    Part(
        "gather.c",
        bodies={"on_kthread_should_stop": 1, "on_msecs_to_jiffies": 2},
        uses=("marks.c", "state.c", "gather_walk.c"),
        offsets=(
            *("KSM_SCAN_MM_SLOT", "KSM_SCAN_RMAP_LIST", "KSM_SCAN_SEQNR"),
            *("MM_SLOT_MM", "MM_SLOT_MM_NODE", "MM_SLOT_RMAP_LIST", "MM_USERS"),
        ),
        symbols=(
            *("ksm_scan", "ksm_mm_head", "ksm_run"),
            *("ksm_pages_shared", "ksm_pages_sharing", "ksm_pages_unshared", "ksm_rmap_items"),
        ),
        functions=("ksm_scan_thread",),
        extras=(
            Extra("WITH_SMART_SCAN", symbols=("ksm_smart_scan",)),
            Extra("WITH_BPF_LOOP", features=("bpf_loop",)),
        ),
        callbacks={"on_kthread_should_stop": "gather_next", "on_msecs_to_jiffies": "gather_next"},
        tails=("gather_more",),
    ),
    Part(
        "gather_leaving.c",
        bodies={"on_ksm_leaving": 2},
        uses=("gather.c", "gather_walk.c"),
        offsets=(
            *("KSM_SCAN_MM_SLOT", "KSM_SCAN_RMAP_LIST", "KSM_SCAN_SEQNR"),
            *("MM_SLOT_MM", "MM_SLOT_MM_NODE", "MM_SLOT_RMAP_LIST"),
        ),
        symbols=("ksm_scan", "ksm_mm_head"),
        extras=(Extra("WITH_BPF_LOOP", features=("bpf_loop",)),),
        callbacks={"on_ksm_leaving": "gather_next_leaving"},
        tails=("gather_more_leaving",),
    ),
    Part(
        "gather_going.c",
        bodies={"on_mm_going": 2},
        uses=("gather_leaving.c",),
        offsets=("MM_FLAGS",),
        callbacks={"on_mm_going": "gather_next_leaving"},
    ),
)

_BY_FILE = {part.file: part for part in PARTS}
_BY_BODY = {body: part for part in PARTS for body in part.bodies}


@dataclass(frozen=True, slots=True)
class Needs:
    """What the parts of a probe read from the kernel."""

    offsets: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    extras: tuple[Extra, ...] = ()


def files_of(spec: ProbeSpec) -> frozenset[str]:
    """Files of bpf/ that hold a probe's hooks, and those that these use.

    Raises:
        KeyError: no part has a body of one of the hooks, or the file that the probe names.
    """
    wanted = {*(_BY_BODY[hook.body].file for hook in spec.hooks), *spec.parts}
    found: set[str] = set()
    while wanted:
        file = wanted.pop()
        found.add(file)
        wanted |= set(_BY_FILE[file].uses) - found
    return frozenset(found)


def needs_of(spec: ProbeSpec) -> Needs:
    """What has to be known of the kernel to compile a probe's parts; nothing where it has none."""
    files = files_of(spec)
    return _needs_of(files) if files else Needs()


@cache
def _needs_of(files: frozenset[str]) -> Needs:
    parts = program_parts(files)
    return Needs(
        frozenset(macro for part in parts for macro in part.offsets),
        frozenset(symbol for part in parts for symbol in part.symbols),
        frozenset(function for part in parts for function in part.functions),
        tuple(extra for part in parts for extra in part.extras),
    )


def program_parts(files: Collection[str]) -> tuple[Part, ...]:
    """The parts of a program with these files, in the order of its text."""
    return tuple(
        part
        for part in PARTS
        if part.file in files or (part.in_every_program and part.instead_of not in files)
    )


def parameters_of(body: str) -> int:
    """How many parameters the body of a hook has."""
    return _BY_BODY[body].bodies[body]
