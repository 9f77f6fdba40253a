"""The balance sheet on the screen and in the report."""

from __future__ import annotations

from rich.panel import Panel
from rich.text import Text

from ksmtrace.model.timeline import Timeline
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.balance.balance import Balance, Ranking
from ksmtrace.section import Cell, Chart, Figure, Section, Table
from ksmtrace.units import format_value

_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("saved", "saved_bytes", "bytes"),
    ("net", "net_saved_bytes", "bytes"),
    ("metadata", "metadata_bytes", "bytes"),
    ("zero pages", "zero_pages", "pages"),
    ("kernel's profit", "kernel_profit_bytes", "bytes"),
    ("ksmd", "ksmd_cpu_seconds", "seconds"),
    ("examined", "examined_pages", "pages"),
    ("written to", "user_break_pages", "pages"),
    ("copying", "user_break_seconds", "seconds"),
)


def panel(balance: Balance) -> Panel:
    """The figures behind the verdict and the three guests that save most."""
    total, cores = balance.total, balance.ksmd_cores
    rows: list[tuple[str | Text, float | str | None]] = [
        ("saved", format_value(total.saved_bytes, "bytes")),
        ("net", format_value(total.net_saved_bytes, "bytes")),
        ("metadata", format_value(total.metadata_bytes, "bytes")),
        ("ksmd", None if cores is None else f"{cores:.1%}"),
        ("written to", total.user_break_pages),
    ]
    for name, row in balance.by_guest.listed[:3]:
        rows.append((Text(name, style="cyan"), format_value(row.saved_bytes, "bytes")))
    return figures_panel("balance", rows, "cyan")


def section(balance: Balance, over_time: Timeline) -> Section:
    """The balance sheet."""
    total, sheet = balance.total, balance.sheet
    shares = f"shares are {sheet.attribution}" if sheet.attribution else "shares are not known"
    copies = "ksmd and copies of written pages"
    return Section(
        "Is KSM worth it?",
        balance.verdict.sentence,
        figures=[
            Figure("saved by sharing", total.saved_bytes, "bytes", note=shares),
            Figure("zero pages", total.zero_pages, "pages", "sampled"),
            Figure("bookkeeping", total.metadata_bytes, "bytes", "derived"),
            Figure("net", total.net_saved_bytes, "bytes", note=balance.profits[1] or ""),
            Figure("ksmd", _seconds(total.ksmd_cpu_ns), "seconds", "sampled"),
            Figure("saved a core", balance.facts.bytes_per_core, "bytes", "derived", copies),
            Figure("copies of written pages", total.user_break_pages, "pages"),
            Figure("time for them", _seconds(total.user_break_ns), "seconds"),
        ],
        tables=[
            _table("guests", "guest", balance.by_guest),
            _table("cgroups", "cgroup", balance.by_cgroup),
            _table("processes", "process", balance.by_process),
            _table(
                "exited", "processes", Ranking([("all that exited", sheet.exited.row(0))], None, 0)
            ),
        ],
        charts=[_chart(over_time)],
        exactness="derived: shares from merges and removals, ksmd's time by what it visited",
    )


def _table(title: str, of: str, ranking: Ranking) -> Table:
    rows = [(name or "unknown", row) for name, row in ranking.listed]
    if ranking.rest is not None:
        rows.append((f"{ranking.others} others", ranking.rest))
    shown: list[list[Cell]] = []
    for name, row in rows:
        figures = row.to_json()
        shown.append([name, *(figures[key] for _, key, _ in _COLUMNS)])
    names, units = [name for name, _, _ in _COLUMNS], [unit for _, _, unit in _COLUMNS]
    return Table(title, [of, *names], ["text", *units], shown)


def _chart(over_time: Timeline) -> Chart:
    series = {name: over_time.column(name) for name in over_time.names}
    seconds = over_time.column("seconds")
    return Chart("saved over time", "line", "time", seconds, series, ("seconds", "bytes"))


def _seconds(value_ns: int | None) -> float | None:
    return None if value_ns is None else value_ns / 1e9
