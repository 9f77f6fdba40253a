"""Copies of KSM pages on the screen and in the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.panel import Panel
from rich.text import Text

from ksmtrace.figures import names_of, panel_rows, section_figures
from ksmtrace.model.processes import label_of
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.cow.figures import FIGURES
from ksmtrace.plugins.cow.storms import MEDIAN_SECONDS, STORM_FLOOR, STORM_MULTIPLE
from ksmtrace.section import Cell, Chart, Section, Table
from ksmtrace.session import Knowledge
from ksmtrace.units import counted, format_value, share

Json = Mapping[str, Any]

_REGRETTED = 0.25
"""Share of regretted merges from which on the section says so."""


def panel(analysis: Json, *, derived: bool = False) -> Iterator[Panel]:
    """Breaks, their cost, regrets and the three processes with most.

    Args:
        analysis: the analyzer's part of the JSON document.
        derived: whether who wrote is derived.
    """
    rows = panel_rows(FIGURES, analysis)
    if analysis["fault_sample"] is not None:
        bounds = [(f"  {p} within", text) for p in ("p50", "p99") if (text := _bounds(analysis, p))]
        rows += [("faults sampled", analysis["fault_sample"]["faults"]), *bounds]
    if derived:
        rows.append(("writes are", "derived"))
    for process in (analysis["processes"] or ())[:3]:
        pages = process["user_pages"] + (process["kernel_pages"] or 0)
        rows.append((Text(label_of(process)), pages))
    return figures_panel("copies", rows)


def _bounds(analysis: Json, quantile: str) -> str:
    """Between what the quantile lies, in words; "" where a bound is not known."""
    sample = analysis["fault_sample"]
    bounds = [sample[f"{quantile}_{end}_seconds"] for end in ("low", "high")]
    if None in bounds:
        return ""
    return " to ".join(format_value(bound, "seconds") for bound in bounds)


def section(
    analysis: Json, starts: Sequence[float], note: str, pages: str, *, derived: bool = False
) -> Section:
    """The whole section.

    Args:
        analysis: the analyzer's part of the JSON document.
        starts: seconds at which the rates' intervals begin.
        note: what the probe cannot know.
        pages: what kind of pages is copied, "KSM" or "zero".
        derived: whether who wrote is derived.
    """
    exactness = _EXACT
    if derived:
        exactness = _DERIVED
    if analysis["fault_sample"] is not None:
        exactness += _sampled(analysis)
    seen = analysis["user_pages"] is not None
    return Section(
        "Copy on write",
        _lead(analysis, pages),
        section_figures(FIGURES, analysis),
        [_processes(analysis), _ranges(analysis), *_storms(analysis)] if seen else [],
        [] if analysis["user_pages"] == 0 else [_over_time(analysis, starts), _latency(analysis)],
        f"{exactness}; {note}" if note else exactness,
    )


_EXACT = "Exact; ages of merges are derived, and known only when ksmd comes by again"
_DERIVED = (
    "Derived from what ksmd finds to have left the stable tree, up to a pass late: a page written "
    "to twice between two looks counts once"
)


def _sampled(analysis: Json) -> str:
    """What the times of faults are worth."""
    sample = analysis["fault_sample"]
    told = f"; times of faults are sampled: {sample['faults']:,}"
    if sample["open_ratio"] is not None:
        told += f" in {share(sample['open_ratio'])} of the time"
    for quantile, name in (("p50", "half"), ("p99", "99 in 100")):
        if bounds := _bounds(analysis, quantile):
            told += f", {name} within {bounds}"
    return told


def _lead(analysis: Json, pages: str) -> str:
    user, ratio = analysis["user_pages"], analysis["regret_ratio"]
    if user is None:
        return (
            f"Writes to {pages} pages are not seen one by one here: who breaks them cannot be told."
        )
    if not user:
        unbroken = "merged pages stay merged, and no write was slowed"
        return f"No process wrote to a {pages} page: {unbroken}."
    lead = f"Writes broke {counted(user, f'{pages} page')}"
    if analysis["fault_p50_seconds"] is not None:
        p50, p99 = (format_value(analysis[f"fault_{p}_seconds"], "seconds") for p in ("p50", "p99"))
        lead += f", half of them in {p50} or less, 99 in 100 in {p99}"
    if analysis["processes"]:
        lead += f"; most of {label_of(analysis['processes'][0])}"
    lead += "."
    if ratio is not None and ratio >= _REGRETTED:
        lead += (
            f" {share(ratio)} of the merges that writes ended were under 60 s old: advise less "
            "memory, or scan slower."
        )
    if analysis["storms"]:
        lead += f" Storms of copies: {analysis['storms']:,}."
    return lead


def _processes(analysis: Json) -> Table:
    keys = ("user_pages", "kernel_pages", "regret_pages")
    rows: list[Sequence[Cell]] = [
        (label_of(process), *(process[key] for key in keys)) for process in analysis["processes"]
    ]
    rows += [
        (name, *(analysis[key][of] for of in keys))
        for name, key in (("other processes", "other"), ("exited processes", "exited"))
        if analysis[key] is not None and any(analysis[key].values())
    ]
    columns = ("process", "by writes", "by the kernel", "within 60 s of merging")
    return Table("KSM pages broken, by process", columns, ("text", "pages", "pages", "pages"), rows)


def _ranges(analysis: Json) -> Table:
    rows = [
        (f"{label_of(one)} {one['start']}-{one['end']}", one["user_pages"], one["kernel_pages"])
        for one in analysis["ranges"]
    ]
    columns = ("range", "by writes", "by the kernel")
    return Table("KSM pages broken, by memory range", columns, ("text", "pages", "pages"), rows)


def _storms(analysis: Json) -> Iterable[Table]:
    if analysis["last_storms"] is None:
        return
    rows = [
        (
            storm["start_seconds"],
            storm["seconds"],
            storm["user_pages"],
            storm["kernel_pages"],
            storm["worst_per_second"],
            ", ".join(label_of(process) for process in storm["processes"][:3]),
        )
        for storm in analysis["last_storms"]
    ]
    yield Table(
        "Latest storms",
        ("start", "length", "by writes", "by the kernel", "worst second", "processes"),
        ("seconds", "seconds", "pages", "pages", "pages", "text"),
        rows,
        f"at least {STORM_FLOOR} in a second, and over {STORM_MULTIPLE} times the median of the "
        f"{MEDIAN_SECONDS} s before",
    )


def _over_time(analysis: Json, starts: Sequence[float]) -> Chart:
    lines = {"by writes": "user_per_second", "by the kernel": "kernel_per_second"}
    return Chart(
        "KSM pages broken per second",
        "line",
        "time",
        starts,
        {name: analysis[key] for name, key in lines.items() if analysis[key] is not None},
        ("seconds", "pages"),
        needs=names_of((Knowledge.WRITES, Knowledge.TIMES)),
    )


def _by_powers(pairs: Sequence[tuple[float, int]]) -> Iterator[tuple[float, int]]:
    """(seconds, faults) by powers of 2 in nanoseconds, those without a fault between them too."""
    counts: Counter[int] = Counter()
    for seconds, count in pairs:
        counts[(round(seconds * 1e9) - 1).bit_length()] += count
    for power in range(min(counts, default=0), max(counts, default=-1) + 1):
        yield 2**power / 1e9, counts[power]


def _latency(analysis: Json) -> Chart:
    pairs = list(_by_powers(analysis["fault_histogram"] or ()))
    return Chart(
        "Faults by the time that they took",
        "bar",
        "under",
        [seconds for seconds, _ in pairs],
        {"faults": [count for _, count in pairs]},
        ("seconds", ""),
        log=True,
        needs=names_of((Knowledge.FAULT_TIMES,)),
    )
