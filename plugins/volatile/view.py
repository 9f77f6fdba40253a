"""What the volatile analyzer says of its figures: remedies, the panel and the section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.panel import Panel
from rich.text import Text

from ksmtrace.model.timeline import Timeline
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.volatile.cause import Cause
from ksmtrace.section import Cell, Chart, Figure, Section, Table

REMEDIES = {
    Cause.CHANGED: "written to between looks: advise less memory, or turn smart_scan on",
    Cause.FORK_SHARED: "a fork shares it already: nothing to gain until one of them writes",
    Cause.HELD: "locked, pinned or under I/O: advise only memory that is not",
    Cause.HUGE_PAGE: "part of a huge page that somebody holds, or that was not split yet",
    Cause.SKIPPED: "smart scan passes over it: costs nothing, merges later",
    Cause.CHAIN_FULL: "all copies of the KSM page are full: raise max_page_sharing",
    Cause.GONE: "unmapped or exited before it was merged: too short-lived to scan",
    Cause.OTHER: "the attempt failed: written to or unmapped meanwhile, or not told",
}
"""Why pages do not get placed, and what to do about it."""

LIVE = tuple(cause for cause in REMEDIES if cause is not Cause.GONE)
"""Causes that a page alive can have."""

_LABELS = {
    Cause.CHANGED: "changing",
    Cause.FORK_SHARED: "fork-shared",
    Cause.HELD: "locked or pinned",
    Cause.HUGE_PAGE: "huge page",
    Cause.SKIPPED: "smart scan",
    Cause.CHAIN_FULL: "chain full",
    Cause.GONE: "address gone",
    Cause.OTHER: "other",
}
_EXACTNESS = (
    "derived: each examination's checksums, attempts and tree; references of huge pages and of pages in the swap cache are "
    "not told from pins; ksmd's seconds are its time by share of examinations"
)

_NOTHING = {"skipped_pages": 0, "gone_pages": 0}
"""Pages passed over and pages gone cost no examination."""

Json = Mapping[str, Any]


def panel(analysis: Json) -> Panel:
    """Outcomes, the causes met and the three processes with most, usable 26 columns wide."""
    ratio, wasted = analysis["last_pass_changed_ratio"], analysis["wasted_ratio"]
    rows: list[tuple[str | Text, float | str | None]] = [
        ("volatile", analysis["volatile_pages"]),
        ("examined", analysis["examined_pages"]),
        ("for nothing", None if wasted is None else f"{wasted:.1%}"),
        ("changed", analysis["changed_pages"]),
        ("  last pass", None if ratio is None else f"{ratio:.1%}"),
    ]
    counted = {c: _counted(c, analysis) for c in REMEDIES if c is not Cause.CHANGED}
    rows += [(_LABELS[cause], count) for cause, count in counted.items() if count]
    for process in analysis.get("processes", ())[:3]:
        rows.append((Text(label(process), style="magenta"), process["changed_pages"]))
    return figures_panel("volatile", rows, "magenta")


def _counted(cause: Cause, analysis: Json) -> int:
    if cause in (Cause.SKIPPED, Cause.GONE):
        return int(analysis[f"{cause.name.lower()}_pages"] or 0)
    lines = analysis.get("causes", {})
    return int(lines[cause.name.lower()]["examined_pages"] or 0) if lines else 0


def section(analysis: Json, over_time: Timeline) -> Section:
    """All of it."""
    lines = analysis["causes"] or {}
    tables = [
        Table(
            "Why pages are not placed",
            ("cause", "examined for nothing", "pages now", "ksmd", "what to do"),
            ("text", "pages", "pages", "seconds", "text"),
            [
                (
                    _LABELS[cause],
                    *(lines[cause.name.lower()][key] for key in ("examined_pages", "now_pages")),
                    lines[cause.name.lower()]["ksmd_cpu_seconds"],
                    remedy,
                )
                for cause, remedy in REMEDIES.items()
                if lines
            ],
            "pages passed over by smart scan and pages gone are among the figures",
        ),
        _by_cause("Processes with most", "process", analysis["cause_processes"] or ()),
        _by_cause("Ranges with most, now", "range", analysis["ranges"] or ()),
    ]
    return Section(
        "Why pages do not merge",
        _lead(analysis),
        [
            Figure("volatile pages now", analysis["volatile_pages"], "pages"),
            Figure("examined", analysis["examined_pages"], "pages"),
            Figure("examined for nothing", analysis["wasted_pages"], "pages"),
            Figure("share of them", analysis["wasted_ratio"], "ratio", "derived"),
            Figure("passed over by smart scan", analysis["skipped_pages"], "pages"),
            Figure("rmap_items gone unmerged", analysis["gone_pages"], "pages"),
            Figure("huge pages split", analysis["split_huge_pages"]),
        ],
        tables,
        [_chart(over_time)] if over_time.points() else [],
        _EXACTNESS,
    )


def _by_cause(title: str, name: str, rows: Sequence[Json]) -> Table:
    places = [
        label(row) if name == "process" else f"{label(row)} {row['start']}-{row['end']}"
        for row in rows
    ]
    cells: list[tuple[Cell, ...]] = [
        (place, *(row.get(f"{cause.name.lower()}_pages") for cause in REMEDIES))
        for place, row in zip(places, rows, strict=True)
    ]
    columns = (name, *(_LABELS[cause] for cause in REMEDIES))
    return Table(title, columns, ("text", *["pages"] * len(REMEDIES)), cells)


def _chart(over_time: Timeline) -> Chart:
    return Chart(
        "Pages kept from their place, at the end of each pass",
        "line",
        "time",
        over_time.column("seconds"),
        {_LABELS[cause]: over_time.column(cause.name) for cause in LIVE},
        ("seconds", "pages"),
    )


def _lead(analysis: Json) -> str:
    ratio, lines = analysis["wasted_ratio"], analysis["causes"]
    if ratio is None or not lines:
        return "No examination was seen one by one: why pages do not merge cannot be told here."
    worst = max(REMEDIES, key=lambda cause: _counted(cause, {**analysis, **_NOTHING}))
    if not _counted(worst, {**analysis, **_NOTHING}):
        return f"None of {analysis['examined_pages']:,} examinations came to nothing."
    said = (
        f"{ratio:.0%} of {analysis['examined_pages']:,} examinations came to nothing, "
        f"most of them by this cause: {_LABELS[worst]} ({REMEDIES[worst]})."
    )
    worst_process = analysis["cause_processes"][:1]
    return said + "".join(f" Most are of {label(process)}." for process in worst_process)


def label(process: Json) -> str:
    """How to call a process of the JSON document."""
    if process.get("vm"):
        return str(process["vm"])
    comm = process["comm"] or "unknown"
    return comm if process["pid"] is None else f"{comm} {process['pid']}"
