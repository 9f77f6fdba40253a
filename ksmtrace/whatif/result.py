"""The JSON document of whatif: what each scenario saved, when it had settled, what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean
from typing import Any

from ksmtrace import SCHEMA_VERSION, __version__
from ksmtrace.whatif.case import Case, KernelPoint
from ksmtrace.whatif.scenario import Outcome, Point, Points, Scenario
from ksmtrace.workload.tunables import defaults_of

MOST_POINTS = 1000
"""So many points of `over_time` are printed; of more, an even choice with the last."""


@dataclass(frozen=True, slots=True)
class Settled:
    """When a run had saved what it saved at its last pass, and did not change that any more."""

    passes: int
    batches: int


def settled(points: Points) -> Settled | None:
    """When the saved bytes changed last; None if at the last pass, or if there is no pass."""
    last_change: Point | None = None
    before = 0
    for point in points:
        if point.saved_bytes != before:
            last_change, before = point, point.saved_bytes
    if not len(points) or (last_change is not None and last_change.passes == points[-1].passes):
        return None
    return (
        Settled(0, 0) if last_change is None else Settled(last_change.passes, last_change.batches)
    )


def document(
    case: Case, scenarios: Sequence[Scenario], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """The JSON document of `ksmtrace whatif`; the first scenario is the baseline."""
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "source": case.source,
        "name": case.name,
        "passes": case.passes,
        "scenarios": [
            _scenario(scenario, outcome, baseline=not index)
            for index, (scenario, outcome) in enumerate(zip(scenarios, outcomes, strict=True))
        ],
        "baseline_difference": baseline_difference(case, outcomes[0]),
        "assumptions": list(case.assumptions),
    }


def baseline_difference(case: Case, baseline: Outcome) -> dict[str, Any] | None:
    """The baseline minus what the capture recorded; None for a workload, which records nothing."""
    if case.totals is None:
        return None
    pairs = [
        (point, case.kernel_points[index])
        for index, point in enumerate(baseline.points)
        if index in case.kernel_points
    ]
    examined, cow_breaks = case.totals
    return {
        "passes": (case.passes or 0),
        "passes_compared": len(pairs),
        "passes_equal": sum(not any(_apart(*pair).values()) for pair in pairs),
        "gauges": {each.name: _gauge(each.name, pairs) for each in fields(KernelPoint)},
        "pages_scanned": _total(baseline.at_end.pages_scanned, examined),
        "cow_breaks": _total(baseline.at_end.cow_breaks, cow_breaks),
    }


def _gauge(name: str, pairs: Iterable[tuple[Point, KernelPoint]]) -> dict[str, float | None]:
    found = [(_apart(ours, theirs)[name], getattr(theirs, name)) for ours, theirs in pairs]
    if not found:
        return dict.fromkeys(("largest", "mean", "at_end", "kernel_at_end"))
    apart = [each for each, _ in found]
    return {
        "largest": max(apart, key=abs),
        "mean": round(fmean(abs(each) for each in apart), 3),
        "at_end": apart[-1],
        "kernel_at_end": found[-1][1],
    }


def _apart(ours: Point, theirs: KernelPoint) -> dict[str, int]:
    return {name: (getattr(ours, name) or 0) - value for name, value in asdict(theirs).items()}


def _total(ours: int, theirs: int) -> dict[str, int]:
    return {"baseline": ours, "capture": theirs, "difference": ours - theirs}


def _scenario(scenario: Scenario, outcome: Outcome, *, baseline: bool) -> dict[str, Any]:
    points, end = outcome.points, outcome.at_end
    saved = [point.saved_bytes for point in points]
    when = settled(points)
    tunables = {**defaults_of(scenario.variant), **dict(scenario.tunables)}
    sleep = tunables.get("sleep_millisecs")
    return {
        "variant": scenario.variant,
        "tunables": dict(scenario.tunables),
        "left_out": list(scenario.left_out),
        "baseline": baseline,
        "ended_early": outcome.ended_early or None,
        "saved_bytes": end.saved_bytes,
        "largest_saved_bytes": max([*saved, end.saved_bytes]),
        "mean_saved_bytes": round(fmean(saved)) if saved else None,
        "settled_after_passes": None if when is None else when.passes,
        "settled_after_batches": None if when is None else when.batches,
        "settled_after_sleep_seconds": (
            None if when is None or sleep is None else round(when.batches * float(sleep) / 1000, 3)
        ),
        "passes": end.passes,
        "batches": end.batches,
        "pages_scanned": end.pages_scanned,
        "comparisons": end.comparisons,
        "cow_breaks": end.cow_breaks,
        "metadata_bytes": end.metadata_bytes,
        "net_saved_bytes": end.saved_bytes - end.metadata_bytes,
        "zero_pages": end.zero_pages,
        "over_time": [asdict(point) for point in _thinned(points)],
        "notes": list(outcome.notes),
    }


def _thinned(points: Points) -> list[Point]:
    count = len(points)
    if count <= MOST_POINTS:
        return list(points)
    chosen = [(index + 1) * count // MOST_POINTS - 1 for index in range(MOST_POINTS)]
    return [points[index] for index in chosen]
