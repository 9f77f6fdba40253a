"""The document of `ksmtrace whatif` as a table of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ksmtrace.drawing.lines import WIDTH
from ksmtrace.units import counted, format_value
from ksmtrace.workload.tunables import defaults_of

_COLUMNS = (
    ("saved", 9),
    ("largest", 9),
    ("mean", 9),
    ("settled", 7),
    ("scanned", 8),
    ("compared", 8),
    ("cow", 7),
    ("metadata", 9),
)
_GAUGES = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")


def table(document: Mapping[str, Any]) -> list[str]:
    """Lines that show the document: names and figures of each scenario, then what they rest on."""
    scenarios = document["scenarios"]
    lines = [f"{document['name']}: {counted(len(scenarios), 'scenario')}"[:WIDTH], ""]
    lines.append(" ".join(f"{head:>{width}}" for head, width in _COLUMNS))
    baseline = scenarios[0]
    for scenario in scenarios:
        lines += _wrapped(_label(scenario, baseline), "")
        lines.append(_figures(scenario))
        remarks = [*scenario["notes"], scenario["ended_early"]]
        for remark in remarks:
            lines += _wrapped(remark, "    ") if remark else []
    lines += ["", *_wrapped(_LEGEND, "")]
    if document["baseline_difference"] is not None:
        lines += ["", *_difference(document["baseline_difference"])]
    if document["assumptions"]:
        lines += ["", "Assumed, because the file does not tell:"]
        lines += [line for one in document["assumptions"] for line in _wrapped(one, "- ")]
    return lines


_LEGEND = (
    "saved: bytes at the end, largest and mean at the ends of passes; settled: the pass after "
    "which that did not change any more (-: it still did); scanned: pages examined; compared: "
    "comparisons of pages (-: not counted); cow: writes that broke a merge; metadata: rmap_items "
    "and stable nodes"
)


def _label(scenario: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    own = dict(defaults_of(scenario["variant"]))
    own |= {} if scenario is baseline else baseline["tunables"]
    changed = [
        f"{name}={value}" for name, value in scenario["tunables"].items() if own[name] != value
    ]
    label = " ".join([scenario["variant"], *changed])
    if scenario is baseline:
        label = f"baseline: {label}"
    left_out = scenario["left_out"]
    return f"{label} (has no {', '.join(left_out)})" if left_out else label


def _figures(scenario: Mapping[str, Any]) -> str:
    values = (
        format_value(scenario["saved_bytes"], "bytes"),
        format_value(scenario["largest_saved_bytes"], "bytes"),
        format_value(scenario["mean_saved_bytes"], "bytes"),
        _number(scenario["settled_after_passes"]),
        _number(scenario["pages_scanned"]),
        _number(scenario["comparisons"]),
        _number(scenario["cow_breaks"]),
        format_value(scenario["metadata_bytes"], "bytes"),
    )
    cells = zip(values, _COLUMNS, strict=True)
    return " ".join(f"{value:>{width}}" for value, (_, width) in cells)


def _difference(found: Mapping[str, Any]) -> Iterator[str]:
    yield from _wrapped(
        f"The baseline against the capture: equal at the ends of {found['passes_equal']} of "
        f"{counted(found['passes_compared'], 'pass', 'passes')} that could be compared, "
        f"of {found['passes']}.",
        "",
    )
    yield f"{'':16}{'largest':>10}{'mean':>10}{'at end':>10}{'kernel':>10}"
    for name in _GAUGES:
        row = found["gauges"][name]
        cells = (row[key] for key in ("largest", "mean", "at_end", "kernel_at_end"))
        yield f"{name:16}" + "".join(f"{_number(cell):>10}" for cell in cells)
    for name in ("pages_scanned", "cow_breaks"):
        row = found[name]
        yield f"{name:16}{'':20}{_number(row['difference']):>10}{_number(row['capture']):>10}"


def _wrapped(text: str, bullet: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=bullet, subsequent_indent=" " * len(bullet))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) < 1_000_000:
        return f"{value:.9g}"
    scale, unit = next(
        (scale, unit)
        for scale, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"))
        if abs(value) >= scale
    )
    return f"{value / scale:.3g}{unit}"
