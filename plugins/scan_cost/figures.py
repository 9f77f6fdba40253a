"""Declares the figures of the cost of scanning and their metric families."""

from __future__ import annotations

from ksmtrace.events import EventKind
from ksmtrace.figures import Family, FigureSpec, counter, gauge
from ksmtrace.session import Knowledge

_EXAMINED = (EventKind.CMP_AND_MERGE_PAGE,)
_ENTRIES = (*_EXAMINED, Knowledge.RMAP_ITEMS)
_SKIPPED = (EventKind.SKIPPED,)

PASSES = Family(
    "ksmtrace_scan_pass_seconds",
    "histogram",
    "Full passes by duration, sleeps included. A new page is merged after two of them: too long, "
    "raise pages_to_scan.",
    of=("pass_seconds_histogram.<seconds>",),
)
FAMILIES = (PASSES,)

COST = (
    FigureSpec(
        "passes",
        "",
        "Passes that ended, whether they were seen from their start or not.",
        needs=(EventKind.SCAN_STOP,),
    ),
    FigureSpec(
        "last_pass_seconds",
        "seconds",
        "The last pass that was seen from its start to its end, sleeps included.",
        panel="last pass s",
        section="duration of the last pass",
    ),
    FigureSpec(
        "mean_pass_seconds",
        "seconds",
        "The mean of these; where ends of passes are not seen, by the steps of full_scans. Null "
        "of an engine's run, whose times only show the order.",
        panel="mean pass s",
        section="mean duration of a pass",
    ),
    FigureSpec(
        "pass_seconds_histogram.<seconds>",
        "",
        'These passes by duration: each key is an upper bound, "more" above all. Null of an '
        "engine's run.",
        needs=(EventKind.SCAN_STOP,),
    ),
    FigureSpec(
        "ksmd_cpu_seconds",
        "seconds",
        "ksmd's CPU time between the first and the last reading of it.",
        section="ksmd's CPU time",
        metric=counter(
            "ksmtrace_scan_ksmd_cpu_seconds_total",
            "CPU time of ksmd since the trace began. Its rate is the share of a core: above 0.1 "
            "when settled, scan slower.",
        ),
    ),
    FigureSpec(
        "ksmd_cores",
        "ratio",
        "The same by the time between these readings.",
        panel="ksmd",
        section="ksmd's share of a core",
    ),
    FigureSpec(
        "pages_per_cpu_second",
        "",
        "Pages examined in that time, by ksmd's CPU time.",
        panel="pages/CPU s",
        section="pages examined per second of CPU time",
    ),
    FigureSpec("pages_per_second", "", "The same by time.", section="pages examined per second"),
    FigureSpec("examined_pages", "pages", "CMP_AND_MERGE_PAGE.", needs=_EXAMINED),
    FigureSpec(
        "skipped_pages",
        "pages",
        "SKIPPED: pages that smart scan passed over.",
        needs=_SKIPPED,
        metric=counter(
            "ksmtrace_scan_skipped_pages_total",
            "Pages that smart scan passed over. Compare with ksmtrace_examined_pages_total: what "
            "it saves.",
        ),
    ),
    FigureSpec(
        "last_pass_examined_pages",
        "pages",
        "Pages examined in the last pass that was seen from its start to its end.",
        needs=_EXAMINED,
    ),
    FigureSpec("last_pass_skipped_pages", "pages", "Pages that it passed over.", needs=_SKIPPED),
    FigureSpec(
        "last_pass_rmap_items", "", "rmap_items that there were when it ended.", needs=_ENTRIES
    ),
    FigureSpec(
        "coverage_ratio",
        "ratio",
        "`last_pass_examined_pages` by `last_pass_rmap_items`.",
        needs=(*_ENTRIES, Knowledge.SINGLE_LOOKS),
        panel="coverage",
        section="share of tracked pages examined in the last pass",
        metric=gauge(
            "ksmtrace_scan_coverage_ratio",
            "Pages examined in the last whole pass by rmap_items. Low: smart scan passes over "
            "most; new twins are found late.",
        ),
    ),
    FigureSpec(
        "last_pass_zero_checksum_pages",
        "pages",
        "Pages of that pass with the checksum of a page of zeroes.",
        needs=(*_ENTRIES, Knowledge.CHECKSUMS),
        metric=gauge(
            "ksmtrace_scan_zero_checksum_pages",
            "Pages of zeroes examined in the last whole pass. A large part of all: set "
            "use_zero_pages, or use less memory.",
        ),
    ),
    FigureSpec(
        "skipped_ratio",
        "ratio",
        "`skipped_pages` by `examined_pages` and `skipped_pages`.",
        needs=(*_EXAMINED, *_SKIPPED),
        panel="skipped",
        section="share passed over by smart scan",
    ),
)
"""What passes take, and what they cover."""

SETTLING = (
    FigureSpec(
        "settled",
        "flag",
        "Whether pages_sharing changed by less than 1% in each of the last two passes.",
        panel="settled",
        metric=gauge(
            "ksmtrace_scan_settled",
            "1 when pages_sharing changed by less than 1% in each of the last two passes. "
            "1 for long: scan slower (sleep_millisecs); never 1: pages come and go, see "
            "ksmtrace_examined_pages_total.",
        ),
    ),
    FigureSpec(
        "last_pass_sharing_change_ratio", "ratio", "By how much it changed in the last of them."
    ),
    FigureSpec(
        "settled_after_passes",
        "",
        "Passes after which it last changed by more; null unless settled.",
        panel="  after passes",
        section="passes until it settled",
    ),
    FigureSpec(
        "settled_after_seconds",
        "seconds",
        "The same in time. Null of an engine's run.",
        section="time until it settled",
    ),
)
"""Whether KSM has settled."""

_TUNABLES = (
    FigureSpec("advisor_mode", "text", "The tunable, now, with all writes since the run began."),
    FigureSpec("pages_to_scan", "pages", "The tunable, likewise."),
    FigureSpec("sleep_millisecs", "", "The tunable, likewise."),
    FigureSpec(
        "advisor_pages_to_scan",
        "",
        "What the advisor made of pages_to_scan, by the readings of it while advisor_mode was "
        "scan-time, at most 512 of them; null without any.",
        of=(
            FigureSpec("seconds[]", "seconds", "When, since the trace began."),
            FigureSpec("pages[]", "pages", "pages_to_scan at that time."),
        ),
    ),
)

FIGURES = (*COST, *SETTLING, *_TUNABLES)
