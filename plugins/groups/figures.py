"""Declares the figures of groups and their metric families."""

from __future__ import annotations

from ksmtrace.events import EventKind
from ksmtrace.figures import FigureSpec, counter, gauge
from ksmtrace.session import Knowledge

_LABELS = ("cgroup", "unit", "vm")

_SEEN = (EventKind.CMP_AND_MERGE_PAGE,)
_WRITES = (Knowledge.WRITES,)
_TIMES = (*_WRITES, Knowledge.FAULT_TIMES)
_BY_KERNEL = (EventKind.COW_FAULT, Knowledge.WHO_BROKE)

_COW_FAULTS = counter(
    "ksmtrace_group_cow_faults_total",
    "KSM pages of a cgroup that were copied: because it wrote (user), or by the kernel's own "
    "breaks (kernel). user near ksmtrace_group_merged_pages_total: KSM merges what this cgroup is "
    "about to write.",
    *(*_LABELS, "by"),
)
_COW_SECONDS = counter(
    "ksmtrace_group_cow_seconds_total",
    "Time in copying KSM pages of a cgroup. The rate of user is the part of a core by which its "
    "writes are delayed: take what must answer fast out of KSM.",
    *(*_LABELS, "by"),
)

TRACKED = gauge(
    "ksmtrace_groups_tracked",
    'Groups that have series of their own. At --groups: smaller ones are in "other", raise it to '
    "see them.",
    of=("groups[]",),
)
FAMILIES = (TRACKED,)

ROW = (
    FigureSpec(
        "saved_bytes",
        "bytes",
        "As `balance` has it, now.",
        metric=gauge(
            "ksmtrace_group_saved_bytes",
            "Memory that KSM saves for a cgroup's pages: of a page that n share, each has "
            "(n - 1) / n. Below ksmtrace_group_metadata_bytes for long: take this cgroup's memory "
            "out of KSM.",
            *_LABELS,
        ),
    ),
    FigureSpec(
        "metadata_bytes",
        "bytes",
        "As `balance` has it, now.",
        needs=(*_SEEN, Knowledge.METADATA),
        metric=gauge(
            "ksmtrace_group_metadata_bytes",
            "KSM's own bookkeeping for a cgroup's pages. Large where little is saved: have the "
            "cgroup advise less memory (MemoryKSM=no, -machine mem-merge=off).",
            *_LABELS,
        ),
    ),
    FigureSpec(
        "merged_pages",
        "pages",
        "Pages that joined a stable node.",
        needs=(EventKind.STABLE_APPEND,),
        metric=counter(
            "ksmtrace_group_merged_pages_total",
            "Pages of a cgroup that joined a stable node. High while ksmtrace_group_saved_bytes "
            "stands still: they are written to and merged again, take them out of KSM.",
            *_LABELS,
        ),
    ),
    FigureSpec(
        "examined_pages",
        "pages",
        "Examinations of its pages.",
        needs=_SEEN,
        metric=counter(
            "ksmtrace_group_examined_pages_total",
            "Pages of a cgroup that ksmd examined. The largest rate is where scanning goes: advise "
            "less memory there first.",
            *_LABELS,
        ),
    ),
    FigureSpec(
        "wasted_pages",
        "pages",
        "Those of them that came to nothing.",
        needs=(*_SEEN, Knowledge.RMAP_ITEMS, Knowledge.CHECKSUMS),
        metric=counter(
            "ksmtrace_group_wasted_pages_total",
            "Examinations of a cgroup's pages that came to nothing: changed, not to be merged, or "
            "gone. Near ksmtrace_group_examined_pages_total: take the cgroup out of KSM; causes "
            "are in ksmtrace_wasted_pages_total.",
            *_LABELS,
        ),
    ),
    FigureSpec(
        "user_break_pages",
        "pages",
        "Its KSM pages that were copied because it wrote, as `balance` has it.",
        needs=_WRITES,
        metric=_COW_FAULTS,
        series=("user",),
    ),
    FigureSpec(
        "kernel_break_pages",
        "pages",
        "Its KSM pages that were copied because the kernel broke the sharing.",
        needs=_BY_KERNEL,
        metric=_COW_FAULTS,
        series=("kernel",),
    ),
    FigureSpec(
        "user_break_seconds",
        "seconds",
        "Time of the copies because it wrote, as `balance` has it.",
        needs=_TIMES,
        metric=_COW_SECONDS,
        series=("user",),
    ),
    FigureSpec(
        "kernel_break_seconds",
        "seconds",
        "Time of the copies because the kernel broke the sharing.",
        needs=_BY_KERNEL,
        metric=_COW_SECONDS,
        series=("kernel",),
    ),
    FigureSpec(
        "ksmd_cpu_seconds",
        "seconds",
        "ksmd's time for its pages, by what it did with them.",
        needs=_SEEN,
        metric=counter(
            "ksmtrace_group_ksmd_cpu_seconds_total",
            "CPU time of ksmd for a cgroup's pages, by what it did with them. The rate is the part "
            "of a core that the cgroup costs: weigh it against ksmtrace_group_saved_bytes.",
            *_LABELS,
        ),
    ),
)
"""What a group saves now, and what it costs since it has series."""

FIGURES = (
    FigureSpec(
        "groups[]",
        "",
        "The groups with series of their own, sorted.",
        of=(
            FigureSpec("cgroup", "text", "Its path below the mount; empty where not known."),
            FigureSpec("unit", "text", "The systemd unit that it is in; empty without one."),
            FigureSpec("vm", "text", "The guest; empty where none runs."),
            *ROW,
        ),
    ),
    FigureSpec(
        "other",
        "",
        "The same of all the rest, processes that have exited and events of no process included, "
        "and what the kernel counts as saved and no process is known for.",
        of=ROW,
    ),
    FigureSpec(
        "shared_within_pages",
        "pages",
        "KSM pages with two sharers or more that are all of one group, now.",
        null=True,
        metric=gauge(
            "ksmtrace_groups_shared_within_pages",
            "KSM pages that processes of one cgroup or guest alone share.",
        ),
    ),
    FigureSpec(
        "shared_across_pages",
        "pages",
        "KSM pages that processes of two groups or more share, now; those of no known group are "
        "one. `ksmtrace audit` tells which.",
        null=True,
        metric=gauge(
            "ksmtrace_groups_shared_across_pages",
            "KSM pages that processes of several cgroups or guests share: above 0 where tenants "
            "must not learn of each other, look who they are (ksmtrace audit).",
        ),
    ),
    FigureSpec("most", "", "`--groups`: how many groups have series of their own at most."),
    FigureSpec(
        "evicted",
        "",
        "Groups that lost their series to others, or had no process any more.",
        metric=counter(
            "ksmtrace_groups_evicted_total",
            'Groups whose series ended, and went on in "other". Rising steadily: groups come and '
            "go, or more of about one size than --groups, raise it.",
        ),
    ),
)
