"""The stable tree on the screen and in the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.panel import Panel

from ksmtrace.events import Gauge
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.stable_tree.readings import Readings
from ksmtrace.section import Chart, Figure, Section, Table
from ksmtrace.units import written

_EXACTNESS = (
    "Derived from each append and removal, and checked against the kernel's gauges; over time as the kernel says. "
    "Sharers and ages of what was merged before the trace are lower bounds."
)


def panel(figures: Mapping[str, float | None], failed: int | None) -> Panel:
    """The figures and the number of attempts that `failed`, usable 26 columns wide."""
    saved = figures["saved_bytes"]
    return figures_panel(
        "stable tree",
        (
            ("shared", figures["shared_pages"]),
            ("sharing", figures["sharing_pages"]),
            ("saved MiB", None if saved is None else round(saved / 2**20, 1)),
            ("merged", figures["merged_pages"]),
            ("  last pass", figures["last_pass_merged_pages"]),
            ("  failed", failed),
            ("break_cow", figures["break_cow_pages"]),
            ("left", figures["left_pages"]),
            ("  written to", figures["cow_fault_pages"]),
        ),
        "green",
    )


def section(figures: Mapping[str, Any], readings: Readings) -> Section:
    """The section of these figures, which are those of the JSON document."""
    return Section(
        "Stable tree",
        _lead(figures, readings),
        list(_figures(figures, readings)),
        list(_tables(figures)),
        list(_charts(figures, readings)),
        _EXACTNESS,
    )


def _lead(figures: Mapping[str, Any], readings: Readings) -> str:
    shared, sharing = figures["shared_pages"], figures["sharing_pages"]
    if shared is None or sharing is None:
        shared = readings.last.get(Gauge.PAGES_SHARED)
        sharing = readings.last.get(Gauge.PAGES_SHARING)
    if shared is None or sharing is None:
        return "What is shared is not known: the kernel's counters were not read."
    if not shared:
        return "No page is shared."
    said = (
        f"{written(shared, 'pages')} KSM pages stand for {written(shared + sharing, 'pages')}: "
        f"{written(sharing, 'pages')} pages saved"
    )
    top = figures["most_shared"]
    if not top:
        return f"{said}."
    return f"{said}; the most shared has {written(top[0]['sharer_pages'], 'pages')} sharers."


def _figures(figures: Mapping[str, Any], readings: Readings) -> Iterable[Figure]:
    read = readings.last
    for name, key, unit, gauge in (
        ("saved", "saved_bytes", "bytes", None),
        ("shared", "shared_pages", "pages", Gauge.PAGES_SHARED),
        ("sharing", "sharing_pages", "pages", Gauge.PAGES_SHARING),
    ):
        note = f"kernel: {written(read[gauge], unit)}" if gauge in read else ""
        yield Figure(name, figures[key], unit, note=note)
    yield Figure("chains", figures["stable_node_chains"], "", "sampled")
    yield Figure("dups in them", figures["stable_node_dups"], "", "sampled")
    yield Figure("joined in this run", figures["merged_pages"], "pages")
    yield Figure("left one by one", figures["left_pages"], "pages")
    yield Figure("nodes removed", figures["removed_node_pages"], "pages")
    older = figures["older_node_pages"]
    note = f"a lower bound for {written(older, 'pages')} nodes" if older else ""
    yield Figure("age of half", figures["node_age_p50_seconds"], "seconds", note=note)
    yield Figure("age of the oldest", figures["node_age_oldest_seconds"], "seconds")


def _tables(figures: Mapping[str, Any]) -> Iterable[Table]:
    if figures["most_shared"]:
        rows = [
            (
                ", ".join(f"{p['process']} ({p['pages']:,})" for p in node["processes"])
                + (f" and {node['other_processes']:,} more" if node["other_processes"] else ""),
                node["sharer_pages"],
                node["age_seconds"],
                "-" if node["kpfn"] is None else f"{node['kpfn']:#x}",
            )
            for node in figures["most_shared"]
        ]
        yield Table(
            "Most shared pages",
            ("process (pages)", "sharers", "age", "kpfn"),
            ("text", "pages", "seconds", "text"),
            rows,
        )
    if figures["failed_pages"]:
        yield Table(
            "Attempts that failed",
            ("errno", "attempts"),
            ("text", "pages"),
            list(figures["failed_pages"].items()),
        )


def _charts(figures: Mapping[str, Any], readings: Readings) -> Iterable[Chart]:
    timeline = readings.over_time
    if len(timeline.points()) > 1:
        yield Chart(
            "KSM pages and the pages that they save",
            "line",
            "time",
            timeline.column("seconds"),
            {"saved": timeline.column("sharing"), "shared": timeline.column("shared")},
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
        )
