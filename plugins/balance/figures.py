"""Declares the figures of the balance sheet and their metric families."""

from __future__ import annotations

from ksmtrace.events import EventKind
from ksmtrace.figures import GROUP, PROCESS, FigureSpec, counter, gauge, without_metrics
from ksmtrace.model.verdict import CORE_WORTH_BYTES, Answer
from ksmtrace.session import Knowledge

_WRITES = (Knowledge.WRITES,)
_TIMES = (*_WRITES, Knowledge.FAULT_TIMES)
_BY_KERNEL = (EventKind.COW_FAULT, Knowledge.WHO_BROKE)

_COW_SECONDS = counter(
    "ksmtrace_balance_cow_seconds_total",
    "Time in copying KSM pages, for processes that wrote (user) or by the kernel's own breaks "
    "(kernel). user rising with ksmtrace_merged_pages_total: what is merged is written to soon.",
    "by",
)

SAVED_PER_CORE = gauge(
    "ksmtrace_balance_saved_per_core_bytes",
    "Memory saved for each core that ksmd and users' COW faults take. "
    f"Below --core-worth ({CORE_WORTH_BYTES >> 30} GiB) for long: memory is cheaper than this, "
    "scan slower or stop.",
    of=("gib_saved_per_core",),
)
VERDICT = gauge(
    "ksmtrace_balance_verdict",
    "1 for what can be said of KSM on this host. Alert on 'costs more than it saves' for an hour.",
    "verdict",
    of=("verdict",),
)
FAMILIES = (SAVED_PER_CORE, VERDICT)

TOTAL = (
    FigureSpec(
        "saved_bytes",
        "bytes",
        "What sharing saves, now: a page shared by n is saved n - 1 times, and each of the n is "
        "credited (n - 1) / n of it.",
        panel="saved",
        section="saved by sharing",
    ),
    FigureSpec("merged_pages", "pages", "Pages in stable nodes, now."),
    FigureSpec("rmap_items", "", "Pages that ksmd keeps track of, now."),
    FigureSpec(
        "metadata_bytes",
        "bytes",
        "KSM's own bookkeeping: rmap_items and the part of stable nodes.",
        panel="metadata",
        section="KSM's bookkeeping",
        exactness="derived",
        metric=gauge(
            "ksmtrace_balance_metadata_bytes",
            "KSM's own bookkeeping: rmap_items and stable nodes. Near what is saved: advise less "
            "memory.",
        ),
    ),
    FigureSpec(
        "zero_pages",
        "pages",
        "KSM-placed zero pages still mapped, as the kernel counts them.",
        section="pages saved by the zero page",
        exactness="sampled",
    ),
    FigureSpec(
        "zero_pages_placed",
        "pages",
        "Page table entries that ksmd pointed to the zero page in this run; some may be gone "
        "again.",
        needs=(EventKind.REPLACE_PAGE,),
    ),
    FigureSpec(
        "net_saved_bytes",
        "bytes",
        "`saved_bytes` and `zero_pages`, less `metadata_bytes`.",
        panel="net",
        section="net saved, after bookkeeping",
        metric=gauge(
            "ksmtrace_balance_net_bytes",
            "Memory that KSM saves, zero pages included, less its own bookkeeping. Below 0: switch "
            "it off (echo 2 > run).",
        ),
    ),
    FigureSpec("kernel_merging_pages", "pages", "The kernel's own ksm_merging_pages."),
    FigureSpec(
        "kernel_profit_bytes",
        "bytes",
        "The kernel's own ksm_process_profit.",
        metric=gauge(
            "ksmtrace_balance_process_profit_bytes",
            "Sum of ksm_process_profit. It is above general_profit by a page for each KSM page: do "
            "not add these up for billing.",
        ),
    ),
    FigureSpec(
        "examined_pages", "pages", "CMP_AND_MERGE_PAGE.", needs=(EventKind.CMP_AND_MERGE_PAGE,)
    ),
    FigureSpec("skipped_pages", "pages", "SKIPPED.", needs=(EventKind.SKIPPED,)),
    FigureSpec("joined_pages", "pages", "STABLE_APPEND.", needs=(EventKind.STABLE_APPEND,)),
    FigureSpec(
        "ksmd_cpu_seconds",
        "seconds",
        "ksmd's time, shared out by what it visited.",
        section="ksmd's CPU time",
        exactness="sampled",
    ),
    FigureSpec(
        "user_break_pages",
        "pages",
        "KSM pages copied because the process wrote; derived where faults are seen by windows.",
        needs=_WRITES,
        panel="written to",
        section="merged pages written to",
    ),
    FigureSpec(
        "user_break_seconds",
        "seconds",
        "Time of these copies; where they are derived, each at the mean of the faults sampled "
        "until then.",
        needs=_TIMES,
        section="time to copy those",
        metric=_COW_SECONDS,
        series=("user",),
    ),
    FigureSpec(
        "kernel_break_pages",
        "pages",
        "KSM pages copied because the kernel broke the sharing.",
        needs=_BY_KERNEL,
    ),
    FigureSpec(
        "kernel_break_seconds",
        "seconds",
        "Time of these copies.",
        needs=_BY_KERNEL,
        metric=_COW_SECONDS,
        series=("kernel",),
    ),
)
"""What is saved and what it costs, of all processes together."""

ROW = without_metrics(TOTAL)
"""The same of one process, or of some."""

CORES = FigureSpec(
    "ksmd_cores", "ratio", "ksmd's CPU time by the time in which it was read.", panel="ksmd"
)

FIGURES = (
    FigureSpec(
        "verdict",
        "text",
        '"worth it", "costs more than it saves", "too little to matter", "not yet settled", "not '
        'known", "nothing to merge" or "KSM is off"; thresholds are at '
        "`ksmtrace.model.verdict.judge`.",
        one_of=tuple(answer.value for answer in Answer),
        null=False,
    ),
    FigureSpec("verdict_reasons[]", "text", "Why, a phrase each."),
    FigureSpec(
        "verdict_change",
        "text",
        "What would make it another one, a sentence; null where it is worth it.",
    ),
    FigureSpec("core_worth_bytes", "bytes", "What a core counts as (`--core-worth`)."),
    FigureSpec(
        "cost_bytes", "bytes", "What the cores that ksmd and users' COW faults take count as."
    ),
    FigureSpec(
        "attribution",
        "text",
        'How far shares of processes can be believed: "exact"; "at least" while not all of ksmd\'s '
        'state is known; "derived" where removals are not seen: what was merged before is read '
        "from pagemap at the start, exits are seen, and what else has left is reckoned from the "
        "kernel's ksm_merging_pages of each process and from its pages_sharing.",
    ),
    FigureSpec("total", "", "All processes, those that have exited included.", of=TOTAL),
    FigureSpec(
        "unattributed_saved_bytes",
        "bytes",
        "What of the total's `saved_bytes` is in no process's row; 0 when exact, below 0 where "
        "shares are too high.",
    ),
    FigureSpec("general_profit_bytes", "bytes", "The kernel's own, as last read."),
    FigureSpec(
        "process_profit_excess_bytes",
        "bytes",
        "By how much the processes' `kernel_profit_bytes` exceed it.",
    ),
    FigureSpec("process_profit_said", "text", "The same in words."),
    CORES,
    FigureSpec(
        "copying_cores",
        "ratio",
        "CPU time of users' COW faults by the time in which ksmd's was read.",
    ),
    FigureSpec(
        "gib_saved_per_core",
        "",
        "GiB that sharing and zero pages save, for each core of ksmd's and of users' COW faults.",
    ),
    FigureSpec("processes[]", "", "The ten processes that save most.", of=(*PROCESS, *GROUP, *ROW)),
    FigureSpec("other_processes", "", "Processes not listed; null without any.", of=ROW),
    FigureSpec(
        "breaking[]",
        "",
        "The ten processes with most `user_break_pages`.",
        of=(*PROCESS, *GROUP, *ROW),
    ),
    FigureSpec(
        "cgroups[]",
        "",
        "The ten cgroups that save most.",
        of=(FigureSpec("cgroup", "text", "Null where not known."), *ROW),
    ),
    FigureSpec("other_cgroups", "", "Cgroups not listed; null without any.", of=ROW),
    FigureSpec(
        "vms[]",
        "",
        "The ten guests that save most; where no guest runs, cgroups.",
        of=(FigureSpec("vm", "text", "The guest, else the cgroup, else the process."), *ROW),
    ),
    FigureSpec("other_vms", "", "Those not listed; null without any.", of=ROW),
    FigureSpec("exited", "", "The processes that have exited.", of=ROW),
)
