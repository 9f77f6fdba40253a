"""The cost of scanning on the screen and in the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.panel import Panel

from ksmtrace.events import EventKind
from ksmtrace.figures import Row, first, names_of, panel_rows, section_figures
from ksmtrace.model.timeline import Timeline
from ksmtrace.panel import figures_panel
from ksmtrace.plugins.scan_cost.figures import FIGURES
from ksmtrace.plugins.scan_cost.scan_times import BUCKETS_SECONDS
from ksmtrace.section import Chart, Section
from ksmtrace.session import Knowledge
from ksmtrace.units import counted, format_value, share

_TIMES = ("seconds", "seconds")
_PAGES = ("seconds", "pages")
_PASSES = names_of((EventKind.SCAN_STOP, Knowledge.TIMES))
_LOOKS = names_of((EventKind.CMP_AND_MERGE_PAGE, EventKind.SKIPPED))


def panel(figures: Row) -> Iterator[Panel]:
    """The figures of the JSON document that matter most, usable 26 columns wide."""
    settled = figures["settled"]
    shown = {
        "last_pass_seconds": _rounded(figures["last_pass_seconds"]),
        "mean_pass_seconds": _rounded(figures["mean_pass_seconds"]),
        "pages_per_cpu_second": _rounded(figures["pages_per_cpu_second"], 0),
        "settled": None if settled is None else "yes" if settled else "no",
    }
    return figures_panel("scan cost", panel_rows(FIGURES, figures, shown))


def section(figures: Row, over_time: Timeline, advised: Timeline, cores: Timeline) -> Section:
    """What scanning costs.

    Args:
        figures: those of the JSON document.
        over_time: duration, examined and skipped pages of each pass.
        advised: pages_to_scan by the advisor.
        cores: ksmd's CPU time between two readings, by the time between them.
    """
    seconds, duration = over_time.column("seconds"), over_time.column("duration")
    pages = {
        name: over_time.column(name)
        for name in ("examined", "skipped")
        if figures[f"{name}_pages"] is not None
    }
    return Section(
        "What does scanning cost?",
        _lead(figures),
        section_figures(first(FIGURES, "mean_pass_seconds"), figures),
        charts=[
            *_cores_chart(cores),
            Chart(
                "Duration of passes",
                "line",
                "time",
                seconds,
                {"duration": duration},
                _TIMES,
                needs=_PASSES,
            ),
            *_durations_chart(figures),
            Chart("Pages per pass", "line", "time", seconds, pages, _PAGES, needs=_LOOKS),
            *_advised_chart(advised),
        ],
        exactness="Passes and pages are as exact as their probes; ksmd's CPU time is sampled.",
    )  # fmt: skip


def _durations_chart(figures: Row) -> Iterable[Chart]:
    counts = list((figures["pass_seconds_histogram"] or {}).values())
    used = [at for at, count in enumerate(counts) if count]
    if used:
        bounds = [f"<= {format_value(bound, 'seconds')}" for bound in BUCKETS_SECONDS]
        shown = slice(used[0], used[-1] + 1)
        x, passes = [*bounds, "more"][shown], {"passes": counts[shown]}
        yield Chart("Passes by duration", "bar", "duration", x, passes, ("text", ""), log=True)


def _cores_chart(cores: Timeline) -> Iterable[Chart]:
    seconds = cores.column("seconds")
    if seconds:
        name, units = "ksmd's CPU", ("seconds", "ratio")
        series = {name: cores.column("ksmd")}
        yield Chart("ksmd's share of a core", "line", "time", seconds, series, units, brief=(name,))


def _advised_chart(advised: Timeline) -> Iterable[Chart]:
    pages = advised.column("pages")
    if pages:
        seconds = advised.column("seconds")
        yield Chart(
            "pages_to_scan, by the advisor",
            "line",
            "time",
            seconds,
            {"pages_to_scan": pages},
            _PAGES,
        )


def _lead(figures: Row) -> str:
    mean, cores = figures["mean_pass_seconds"], figures["ksmd_cores"]
    settled = figures["settled"]
    lead = (
        "How long passes take is not known"
        if mean is None
        else f"A pass takes {format_value(mean, 'seconds')}"
    )
    lead += "" if cores is None else f" and ksmd {share(cores)} of a core"
    if settled is None:
        return f"{lead}. Too few passes were seen to tell whether KSM has settled."
    if not settled:
        return f"{lead}. KSM has not settled."
    after = figures["settled_after_passes"] or 0
    return f"{lead}. KSM has settled, after {counted(round(after), 'pass', 'passes')}."


def _rounded(value: float | None, digits: int = 2) -> str | None:
    return None if value is None else f"{value:,.{digits}f}"
