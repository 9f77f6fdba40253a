"""Dashboard: volatile memory and scanning that comes to nothing."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from tools.dashboards.parts import PAGES_A_SECOND, QUARTER, frame, lines, number, rate

_EXAMINED = rate("ksmtrace_examined_pages_total{}")
_WASTED = rate("ksmtrace_wasted_pages_total{}")


def volatile() -> Dashboard:
    """How much of ksmd's work comes to nothing, and why."""
    made: Dashboard = frame(
        "ksmtrace-volatile",
        "KSM: volatile memory and wasted scans",
        "How much of what ksmd examines changes before it can be merged, or cannot be merged, and "
        "for which cause.",
    )
    _first_row(made)
    for title, description, unit, queries, stacked in (
        (
            "Examined pages by outcome",
            "What became of each page that ksmd looked at. changed: written to between two looks, "
            "no use scanning; unplaced: unchanged, but in no tree.",
            PAGES_A_SECOND,
            {"{{outcome}}": f"sum by (outcome) ({_EXAMINED})"},
            True,
        ),
        (
            "Wasted examinations by cause",
            "Looks that came to nothing. changed: advise less memory; held: pinned or under I/O; "
            "huge_page: held whole; chain_full: raise max_page_sharing; fork_shared: shared "
            "already.",
            PAGES_A_SECOND,
            {"{{cause}}": f"sum by (cause) ({_WASTED})"},
            True,
        ),
        (
            "Pages kept from their place",
            "Pages in neither tree now, by the cause of their last look.",
            "none",
            {"{{cause}}": "sum by (cause) (ksmtrace_unplaced_pages{})"},
            True,
        ),
        (
            "Tracked pages by state",
            "Pages that ksmd tracks, by where they were as the last whole pass ended. Most of them "
            "volatile or candidate for long: little to merge.",
            "none",
            {"{{state}}": "sum by (state) (ksmtrace_rmap_item_pages{})"},
            True,
        ),
        (
            "Unstable tree",
            "Candidates put in, those that found a twin, and those whose memory went away while "
            "they waited.",
            PAGES_A_SECOND,
            {
                "put in": f"sum({rate('ksmtrace_unstable_inserted_pages_total{}')})",
                "found a twin": f"sum({rate('ksmtrace_unstable_matched_pages_total{}')})",
                "gone": f"sum({rate('ksmtrace_unstable_gone_pages_total{}')})",
            },
            False,
        ),
        (
            "Last pass",
            "Pages that the last whole pass examined, found changed, put into the unstable tree "
            "and merged.",
            "none",
            {
                "examined": "sum(ksmtrace_last_pass_examined_pages{})",
                "changed": "sum(ksmtrace_last_pass_changed_pages{})",
                "waiting": "sum(ksmtrace_last_pass_inserted_pages{})",
                "merged": "sum(ksmtrace_last_pass_merged_pages{})",
                "zeroes": "sum(ksmtrace_scan_zero_checksum_pages{})",
            },
            False,
        ),
        (
            "Smart scan",
            "Pages passed over by smart scan, and pages examined. Nothing passed over while much "
            "is volatile: turn smart_scan on.",
            PAGES_A_SECOND,
            {
                "passed over": f"sum({rate('ksmtrace_scan_skipped_pages_total{}')})",
                "examined": f"sum({_EXAMINED})",
            },
            False,
        ),
        (
            "Part of tracked memory that a pass examines",
            "Examined pages of the last whole pass by tracked pages. Low: smart scan passes over "
            "most, and new twins are found late.",
            "percentunit",
            {"{{instance}}": "ksmtrace_scan_coverage_ratio{}"},
            False,
        ),
    ):
        made.with_panel(lines(title, description, unit, queries, stacked=stacked))
    return made


def _first_row(made: Dashboard) -> None:
    made.with_panel(
        number(
            "Wasted",
            "Part of the examined pages that came to nothing. Above one half for long: see the "
            "causes below.",
            "percentunit",
            f"sum({_WASTED}) / (sum({_EXAMINED}) > 0)",
            steps=((None, "green"), (0.25, "orange"), (0.5, "red")),
            width=QUARTER,
        )
    )
    made.with_panel(
        number(
            "Changed in the last pass, worst host",
            "Part of the last whole pass that had changed since the pass before. Above one half: "
            "advise less memory, or turn smart_scan on.",
            "percentunit",
            "max(ksmtrace_last_pass_changed_ratio{})",
            steps=((None, "green"), (0.25, "orange"), (0.5, "red")),
            width=QUARTER,
        )
    )
    made.with_panel(
        number(
            "Yield of scanning",
            "Part of the candidates that found a twin. Near 0 for long: KSM has found what there "
            "is, scan slower.",
            "percentunit",
            f"sum({rate('ksmtrace_unstable_matched_pages_total{}')})"
            f" / (sum({rate('ksmtrace_unstable_inserted_pages_total{}')}) > 0)",
            width=QUARTER,
        )
    )
    made.with_panel(
        number(
            "Volatile pages",
            "Pages in neither tree now, on all chosen hosts.",
            "short",
            "sum(ksmtrace_volatile_pages{})",
            width=QUARTER,
        )
    )
