"""The stable tree on the screen and in the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.panel import Panel

from ksmtrace.events import Gauge
from ksmtrace.figures import first, panel_rows, section_figures
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.stable_tree.figures import FIGURES
from ksmtrace.plugins.stable_tree.readings import Readings
from ksmtrace.section import Chart, Section, Table
from ksmtrace.units import counted, format_value

_EXACTNESS = (
    "Derived from each append and removal, and checked against the kernel's gauges; over time as "
    "the kernel says. "
    "Sharers and ages of what was merged before the trace are lower bounds."
)

_AT_MOST = "Sharers are at most as many: what leaves a KSM page is not seen."

_SHOWN = first(
    FIGURES,
    *("saved_bytes", "shared_pages", "sharing_pages", "stable_node_chains", "stable_node_dups"),
)


def panel(figures: Mapping[str, Any]) -> Iterator[Panel]:
    """What is shared, what was merged and what left, usable 26 columns wide."""
    saved, failed = figures["saved_bytes"], figures["failed_pages"]
    shown = {
        "saved_bytes": None if saved is None else round(saved / 2**20, 1),
        "failed_pages": None if failed is None else sum(failed.values()),
    }
    return figures_panel("stable tree", panel_rows(FIGURES, figures, shown))


def section(figures: Mapping[str, Any], readings: Readings, *, at_most: bool) -> Section:
    """The section of these figures, which are those of the JSON document.

    Args:
        figures: they.
        readings: the kernel's counters.
        at_most: sharers are, as what leaves a stable node is not seen.
    """
    return Section(
        "KSM pages and their sharers",
        _lead(figures, readings, at_most=at_most),
        section_figures(_SHOWN, figures, _notes(figures, readings)),
        list(_tables(figures, at_most=at_most)),
        list(_charts(figures, readings, at_most=at_most)),
        _EXACTNESS,
    )


def _lead(figures: Mapping[str, Any], readings: Readings, *, at_most: bool) -> str:
    shared, sharing = figures["shared_pages"], figures["sharing_pages"]
    if shared is None or sharing is None:
        shared = readings.last.get(Gauge.PAGES_SHARED)
        sharing = readings.last.get(Gauge.PAGES_SHARING)
    if shared is None or sharing is None:
        zero_pages = readings.last.get(Gauge.KSM_ZERO_PAGES)
        if zero_pages is not None:
            pages = counted(zero_pages, "page")
            return f"There are no KSM pages; the zero page stands for {pages}."
        return "What is shared is not known: the kernel's counters were not read."
    if not shared:
        return "No page is shared."
    lead = (
        f"{counted(shared, 'KSM page stands', 'KSM pages stand')} for "
        f"{format_value(shared + sharing, 'pages')}: {counted(sharing, 'page')} saved"
    )
    top = figures["most_shared"]
    if not top:
        return f"{lead}."
    sharers = counted(top[0]["sharer_pages"], "sharer")
    return f"{lead}; the most shared has {'at most ' * at_most}{sharers}."


def _notes(figures: Mapping[str, Any], readings: Readings) -> dict[str, str]:
    """What a figure is to be read against, by key."""
    read, older = readings.last, figures["older_node_pages"]
    notes = {
        key: f"kernel: {format_value(read[gauge], 'pages')}"
        for key, gauge in (
            ("shared_pages", Gauge.PAGES_SHARED),
            ("sharing_pages", Gauge.PAGES_SHARING),
        )
        if gauge in read
    }
    if older:
        notes["node_age_p50_seconds"] = f"a lower bound for {counted(older, 'page')}"
    return notes


def _tables(figures: Mapping[str, Any], *, at_most: bool) -> Iterable[Table]:
    if figures["most_shared"]:
        rows = [
            (
                ", ".join(f"{p['process']} ({p['pages']:,})" for p in node["processes"])
                + (f" and {node['other_processes']:,} more" if node["other_processes"] else ""),
                node["sharer_pages"],
                node["age_seconds"],
                None if node["kpfn"] is None else f"{node['kpfn']:#x}",
            )
            for node in figures["most_shared"]
        ]
        yield Table(
            "Most shared pages",
            ("process (pages)", "sharers", "age", "page frame"),
            ("text", "pages", "seconds", "text"),
            rows,
            _AT_MOST * at_most,
        )
    if figures["failed_pages"]:
        yield Table(
            "Attempts that failed",
            ("error", "attempts"),
            ("text", "pages"),
            list(figures["failed_pages"].items()),
        )


def _charts(figures: Mapping[str, Any], readings: Readings, *, at_most: bool) -> Iterable[Chart]:
    timeline = readings.over_time
    if len(timeline.points()) > 1:
        yield Chart(
            "KSM pages and the pages that they save",
            "line",
            "time",
            timeline.column("seconds"),
            {"saved": timeline.column("sharing"), "KSM pages": timeline.column("shared")},
            ("seconds", "pages"),
            note="As the kernel says.",
        )
    sharers = figures["node_sharers_pages"]
    if sharers and any(sharers.values()):
        names = ["1", "2", "3-4", "5-8", "9-16", "17-32", "33-64", "65-128", "129-256", "more"]
        yield Chart(
            "KSM pages by number of sharers",
            "bar",
            "sharers",
            names,
            {"KSM pages": list(sharers.values())},
            ("text", "pages"),
            note=_AT_MOST * at_most,
            log=True,
        )
