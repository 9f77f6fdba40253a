"""The balance sheet on the screen and in the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isnan

from rich.panel import Panel
from rich.text import Text

from ksmtrace.figures import first, panel_rows, section_figures
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.balance.balance import Balance, Ranking
from ksmtrace.plugins.balance.figures import CORES, ROW, TOTAL
from ksmtrace.section import Cell, Chart, Figure, Section, Table
from ksmtrace.units import format_value

_COLUMNS = {
    "saved_bytes": "saved",
    "net_saved_bytes": "net saved",
    "metadata_bytes": "bookkeeping",
    "zero_pages": "zero pages",
    "kernel_profit_bytes": "kernel's profit",
    "ksmd_cpu_seconds": "ksmd's CPU",
    "examined_pages": "pages examined",
    "user_break_pages": "pages written",
    "user_break_seconds": "copied in",
}
"""Columns of the tables: key and heading."""


def panel(balance: Balance) -> Iterator[Panel]:
    """The figures behind the verdict and the three guests that save most."""
    shown = first(
        (*TOTAL, CORES), *("saved_bytes", "net_saved_bytes", "metadata_bytes", "ksmd_cores")
    )
    rows = panel_rows(shown, {**balance.total.to_json(), "ksmd_cores": balance.ksmd_cores})
    for name, row in balance.by_guest.listed[:3]:
        rows.append((Text(name), format_value(row.saved_bytes, "bytes")))
    return figures_panel("balance", rows)


def section(balance: Balance, over_time: Mapping[str, Sequence[float]]) -> Section:
    """The balance sheet, with what was saved and net of it by "seconds"."""
    exited = Ranking([("all that exited", balance.sheet.exited.row(0))], None, 0)
    return Section(
        "Is KSM worth it?",
        balance.verdict.sentence,
        figures=_figures(balance),
        tables=[
            _table("Guests", "guest", balance.by_guest),
            _table("Cgroups", "cgroup", balance.by_cgroup),
            _table("Processes", "process", balance.by_process),
            *(
                [_table("Processes that have exited", "processes", exited)]
                if any(exited.listed[0][1].to_json().values())
                else []
            ),
        ],
        charts=[_chart(over_time)],
        exactness="derived: shares from merges and removals, ksmd's time by what it visited",
    )


def _figures(balance: Balance) -> list[Figure]:
    """Those of the total, and what is saved a core before the copies that are part of its cost."""
    shares = balance.sheet.attribution
    notes = {
        "saved_bytes": f"by process: {shares}" if shares else "by process: not known",
        "net_saved_bytes": balance.profits[1] or "",
    }
    figures = section_figures(
        first(TOTAL, "saved_bytes", "zero_pages"), balance.total.to_json(), notes
    )
    costs = "spent by ksmd and by copies of written pages"
    per_core = Figure(
        "saved per core spent", balance.facts.bytes_per_core, "bytes", "derived", costs
    )
    return [*figures[:-2], per_core, *figures[-2:]]


def _table(title: str, of: str, ranking: Ranking) -> Table:
    rows = [(name or "unknown", row) for name, row in ranking.listed]
    if ranking.rest is not None:
        rows.append((f"{ranking.others} others", ranking.rest))
    shown: list[list[Cell]] = []
    for name, row in rows:
        figures = row.to_json()
        shown.append([name, *(figures[key] for key in _COLUMNS)])
    units = {spec.key: spec.unit for spec in ROW}
    return Table(
        title, [of, *_COLUMNS.values()], ["text", *(units[key] for key in _COLUMNS)], shown
    )


def _chart(over_time: Mapping[str, Sequence[float]]) -> Chart:
    series = {
        label: over_time[name]
        for name, label in (("saved", "saved"), ("net", "net saved"))
        if not any(map(isnan, over_time[name]))
    }
    seconds, units = over_time["seconds"], ("seconds", "bytes")
    return Chart("Saved over time", "line", "time", seconds, series, units, brief=("saved",))
