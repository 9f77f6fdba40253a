"""Declares the figures of copies of KSM pages and their metric families."""

from __future__ import annotations

from ksmtrace.events import EventKind
from ksmtrace.figures import (
    GROUP,
    PROCESS,
    RANGE,
    Family,
    FigureSpec,
    counter,
    gauge,
)
from ksmtrace.plugins.cow.storms import MEDIAN_SECONDS, STORM_FLOOR, STORM_MULTIPLE
from ksmtrace.session import Knowledge

_SEEN = (EventKind.COW_FAULT,)
_WRITES = (Knowledge.WRITES,)
_DATED = (Knowledge.WRITES, Knowledge.TIMES)
_TIMED = (Knowledge.FAULT_TIMES,)
_FOLLOWED = (
    Knowledge.RMAP_ITEMS,
    *(Knowledge.WRITES, EventKind.STABLE_APPEND),
    *(EventKind.REMOVE_RMAP_ITEM, EventKind.CMP_AND_MERGE_PAGE),
)
"""What it takes to follow a merge to its end."""

FAULTS = Family(
    "ksmtrace_cow_fault_seconds",
    "histogram",
    "Time that writes to KSM pages spent in do_wp_page. Long tails: memory is short, or the page "
    "copied is far away; keep what must answer fast out of KSM.",
    of=("fault_histogram[][]", "fault_total_seconds"),
)
FAMILIES = (FAULTS,)

_BROKEN = (
    FigureSpec(
        "user_pages",
        "pages",
        "Pages broken by writes; by the kernel too, where the probe cannot tell.",
    ),
    FigureSpec(
        "kernel_pages", "pages", "Pages broken by the kernel.", needs=(Knowledge.WHO_BROKE,)
    ),
)
_SAMPLE = (
    FigureSpec("windows", "", "Windows so far."),
    FigureSpec("open_seconds", "seconds", "How long they were open, together."),
    FigureSpec("open_ratio", "ratio", "The same by the time of the run: the rate of sampling."),
    FigureSpec("faults", "", "Users' writes that were timed in them."),
    FigureSpec("p50_low_seconds", "seconds", "The median is above this; null: too few faults."),
    FigureSpec("p50_high_seconds", "seconds", "It is below this, likewise."),
    FigureSpec("p99_low_seconds", "seconds", "99 in 100: the time is above this, likewise."),
    FigureSpec("p99_high_seconds", "seconds", "It is below this, likewise."),
)
_COUNTS = (
    *_BROKEN,
    FigureSpec("regret_pages", "pages", "As `regret_pages` of all.", needs=(Knowledge.TIMES,)),
)
_STORM = (
    FigureSpec("start_seconds", "seconds", "Its start, from the start of the trace."),
    FigureSpec("seconds", "seconds", "Its length."),
    *_BROKEN,
    FigureSpec("worst_per_second", "", "Pages broken in its worst second."),
    FigureSpec("median_per_second", "", "The median that its first second is measured against."),
    FigureSpec(
        "processes[]",
        "",
        "Who wrote, most pages first.",
        of=(*PROCESS, FigureSpec("pages", "pages", "Pages broken.")),
    ),
)

FIGURES = (
    FigureSpec(
        "user_pages",
        "pages",
        "COW_FAULT: KSM pages copied because the process wrote. Where the probe cannot tell "
        "this from the kernel's breaks, every `user_pages` holds both. Where faults are seen in "
        "windows, every `user_pages`, and what is counted of it by process, range and second, is "
        "derived: pages that ksmd finds, when it next comes to them, to have left their stable "
        "node without being freed. A page written to twice between two looks counts once; one "
        "merged again or unmapped before the look does not count; one discarded and touched anew "
        "does; the time is that of the look, up to a pass late.",
        needs=_WRITES,
        panel="by writes",
        section="broken by writes",
    ),
    FigureSpec(
        "kernel_pages",
        "pages",
        "COW_FAULT: copied because the kernel broke the sharing: run=2, MADV_UNMERGEABLE, prctl, "
        "a failed merge. Where the probe cannot tell this from writes, every `kernel_pages` is "
        "null.",
        needs=(*_SEEN, Knowledge.WHO_BROKE),
        panel="by the kernel",
        section="broken by the kernel",
    ),
    FigureSpec(
        "copied_pages",
        "pages",
        "All copies by the kernel's own count, cow_ksm of /proc/vmstat, from the first reading to "
        "the last: writes and its own breaks. Exact; null before 5.19.",
        panel="kernel counts",
        section="copies by the kernel's own count",
        exactness="sampled",
    ),
    FigureSpec(
        "unplaced_pages",
        "pages",
        "Of `copied_pages`, what derived `user_pages` and BREAK_COWs leave: the kernel's breaks by "
        "run=2, MADV_UNMERGEABLE and prctl, writes of which ksmd has not been at the page since, "
        "and what derived counts miss. Below 0 where they count what was no copy. Null where every "
        "fault is seen.",
    ),
    FigureSpec(
        "fault_p50_seconds",
        "seconds",
        "Half of the users' writes spent less than this in do_wp_page, at most an eighth too "
        "high; null where no write was timed. Where faults are seen by windows, these figures are "
        "of those in windows, and `fault_sample` says how far off they can be.",
        needs=_TIMED,
        panel="fault p50",
        section="half of the faults took less than",
    ),
    FigureSpec(
        "fault_p99_seconds",
        "seconds",
        "99 in 100 of them less than this, likewise.",
        needs=_TIMED,
        panel="fault p99",
        section="99 in 100 faults took less than",
    ),
    FigureSpec(
        "fault_longest_seconds",
        "seconds",
        "The longest of them.",
        needs=_TIMED,
        section="the longest fault",
    ),
    FigureSpec(
        "fault_total_seconds",
        "seconds",
        "All of them together.",
        needs=_TIMED,
        section="all faults together",
    ),
    FigureSpec(
        "fault_histogram[][]",
        "",
        "[seconds, writes that took less than that, and not less than the pair before]; only pairs "
        "with any.",
        needs=_TIMED,
    ),
    FigureSpec(
        "fault_sample",
        "",
        "Faults by windows (`--cow`); null where every fault is seen, or none. The bounds hold 95 "
        "in 100 times (order statistics), for faults that do not depend on each other: those of "
        "one window may be more alike. A fault that lasts to the end of its window and beyond is "
        "not among them, so the longest are too few.",
        of=_SAMPLE,
    ),
    FigureSpec(
        "written_merge_pages",
        "pages",
        "Merges of known age that were seen to be ended by a write, which is known when ksmd next "
        "comes to the page.",
        needs=_FOLLOWED,
    ),
    FigureSpec(
        "regret_pages",
        "pages",
        "Those of them that were written to within 60 s: work for nothing, and a fault on top.",
        needs=(*_FOLLOWED, Knowledge.TIMES),
        panel="within 60 s",
        section="written to within 60 s of merging",
        exactness="derived",
        metric=counter(
            "ksmtrace_regret_pages_total",
            "Merges written to within 60 s. Near ksmtrace_merged_pages_total: KSM merges what is "
            "about to change, advise less memory or scan slower.",
        ),
    ),
    FigureSpec(
        "regret_ratio",
        "ratio",
        "`regret_pages` by `written_merge_pages`.",
        needs=(*_FOLLOWED, Knowledge.TIMES),
        section="share of all merges that writes ended",
        exactness="derived",
    ),
    FigureSpec(
        "unknown_age_pages",
        "pages",
        "Writes that ended merges older than the trace.",
        needs=_FOLLOWED,
    ),
    FigureSpec(
        "pending_pages",
        "pages",
        "Written to, and not visited by ksmd since; null where writes are derived.",
        needs=(*_SEEN, *_FOLLOWED),
    ),
    FigureSpec(
        "half_life_seconds",
        "seconds",
        "By what age half of the merges are written to, by the method of Kaplan and Meier: merges "
        "that end otherwise or are still there count for as long as they were seen. Null while "
        "more than half survive.",
        needs=(*_FOLLOWED, Knowledge.TIMES),
        panel="half-life",
        section="age by which writes end half of merges",
        exactness="derived",
        metric=gauge(
            "ksmtrace_merge_written_half_life_seconds",
            "By what age half of the merges are written to. Minutes or less: what is merged does "
            "not stay merged.",
        ),
    ),
    FigureSpec(
        "storms",
        "",
        f"Seconds, or runs of them, with at least {STORM_FLOOR} breaks and more than "
        f"{STORM_MULTIPLE} times the median of the {MEDIAN_SECONDS} seconds before.",
        needs=_DATED,
        panel="storms",
        section="storms",
        metric=counter(
            "ksmtrace_cow_storms_total",
            f"Seconds, or runs of them, with {STORM_FLOOR} broken pages or more and over "
            f"{STORM_MULTIPLE} times the usual. "
            "Each is a burst of faults: `ksmtrace live --json` names the processes.",
        ),
    ),
    FigureSpec("last_storms[]", "", "The latest of them.", needs=_DATED, of=_STORM),
    FigureSpec(
        "interval_seconds",
        "seconds",
        "Length of the intervals of the two lists that follow.",
        needs=_DATED,
    ),
    FigureSpec(
        "user_per_second[]", "", "Writes a second, from the start of the trace on.", needs=_DATED
    ),
    FigureSpec(
        "kernel_per_second[]",
        "",
        "The kernel's breaks a second, likewise.",
        needs=(*_SEEN, Knowledge.WHO_BROKE, Knowledge.TIMES),
    ),
    FigureSpec(
        "processes[]",
        "",
        "The ten processes with most copies, most first.",
        needs=_WRITES,
        of=(*PROCESS, *GROUP, *_COUNTS),
    ),
    FigureSpec("other", "", "The counts of processes not listed.", needs=_WRITES, of=_COUNTS),
    FigureSpec(
        "exited",
        "",
        "The counts of processes that have exited.",
        needs=(*_WRITES, EventKind.MM_EXIT),
        of=_COUNTS,
    ),
    FigureSpec(
        "ranges[]",
        "",
        "The ten runs of 2 MiB with most copies, most first.",
        needs=_WRITES,
        of=(*PROCESS, *RANGE, *_BROKEN),
    ),
)
