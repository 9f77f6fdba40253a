"""The cost of scanning on the screen and in the report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.panel import Panel

from ksmtrace.model.timeline import Timeline
from ksmtrace.panel import figures_panel
from ksmtrace.section import Chart, Figure, Section
from ksmtrace.units import written

_SHOWN = (
    ("mean pass", "mean_pass_seconds", "seconds"),
    ("last pass", "last_pass_seconds", "seconds"),
    ("ksmd's CPU time", "ksmd_cpu_seconds", "seconds"),
    ("share of a core", "ksmd_cores", "ratio"),
    ("pages a second of ksmd", "pages_per_cpu_second", ""),
    ("pages a second", "pages_per_second", ""),
    ("covered by the last pass", "coverage_ratio", "ratio"),
    ("passed over by smart scan", "skipped_ratio", "ratio"),
    ("settled after passes", "settled_after_passes", ""),
    ("settled after", "settled_after_seconds", "seconds"),
)
_TIMES = ("seconds", "seconds")
_PAGES = ("seconds", "pages")


def panel(figures: Mapping[str, float | None], settled: bool | None) -> Panel:
    """The figures of the JSON document that matter most, usable 26 columns wide."""
    return figures_panel(
        "scan cost",
        (
            ("last pass s", _rounded(figures["last_pass_seconds"])),
            ("mean pass s", _rounded(figures["mean_pass_seconds"])),
            ("ksmd", _percent(figures["ksmd_cores"])),
            ("pages/CPU s", _rounded(figures["pages_per_cpu_second"], 0)),
            ("coverage", _percent(figures["coverage_ratio"])),
            ("skipped", _percent(figures["skipped_ratio"])),
            ("settled", None if settled is None else "yes" if settled else "no"),
            ("  after passes", figures["settled_after_passes"]),
        ),
        "blue",
    )


def section(
    figures: Mapping[str, float | None],
    settled: bool | None,
    over_time: Timeline,
    advised: Timeline,
) -> Section:
    """What scanning costs.

    Args:
        figures: those of the JSON document.
        settled: whether KSM has; None where that is not known.
        over_time: duration, examined and skipped pages of each pass.
        advised: pages_to_scan by the advisor.
    """
    names = ("duration", "examined", "skipped")
    duration, *pages = (over_time.column(name) for name in names)
    seconds = over_time.column("seconds")
    return Section(
        "What does scanning cost?",
        _lead(figures, settled),
        figures=[Figure(name, figures[key], unit) for name, key, unit in _SHOWN],
        charts=[
            Chart("pass duration", "line", "time", seconds, {"duration": duration}, _TIMES),
            Chart("pages a pass", "line", "time", seconds, dict(zip(names[1:], pages, strict=True)), _PAGES),
            *_advised_chart(advised),
        ],
        exactness="passes and pages as their probes; ksmd's CPU time is sampled",
    )  # fmt: skip


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


def _lead(figures: Mapping[str, float | None], settled: bool | None) -> str:
    mean, cores = figures["mean_pass_seconds"], figures["ksmd_cores"]
    said = (
        "How long passes take is not known"
        if mean is None
        else f"A pass takes {written(mean, 'seconds')}"
    )
    said += "" if cores is None else f" and ksmd {cores:.1%} of a core"
    if settled is None:
        return f"{said}. Too few passes were seen to tell whether KSM has settled."
    if not settled:
        return f"{said}. KSM has not settled."
    after = figures["settled_after_passes"] or 0
    return f"{said}. KSM has settled, after {after:.0f} {'pass' if after == 1 else 'passes'}."


def _rounded(value: float | None, digits: int = 2) -> float | str | None:
    return None if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:.1%}"
