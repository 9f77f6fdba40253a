"""Units of axes: what to divide values by so that they have few digits, and the axis title."""

from __future__ import annotations

from collections.abc import Iterable

from ksmtrace.drawing.lines import one_line

_STEPS: dict[str, tuple[tuple[float, float, str], ...]] = {
    "bytes": (
        *((1 << 40, 1 << 40, "TiB"), (1 << 30, 1 << 30, "GiB"), (1 << 20, 1 << 20, "MiB")),
        *((1 << 10, 1 << 10, "KiB"), (1, 1, "bytes")),
    ),
    "seconds": (
        *((7200, 3600, "h"), (1, 1, "s"), (1e-3, 1e-3, "ms")),
        *((1e-6, 1e-6, "us"), (0, 1e-9, "ns")),
    ),
    "ratio": ((0, 0.01, "%"),),
}
"""By unit: (least value for which it is taken, divisor, name of the unit then)."""


def divisor(values: Iterable[float | None], unit: str) -> tuple[float, str]:
    """The divisor by which the largest value has few digits, and the name of the unit then."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    for least, by, name in _STEPS.get(unit, ()):
        if largest >= least:
            return by, name
    return (1, "bytes") if unit == "bytes" else (1, "" if unit == "text" else unit)


def axis_title(name: str, unit: str) -> str:
    """The title of an axis: its name, with the unit in brackets unless the name has it."""
    title = one_line(name)
    return f"{title} ({unit})" if title and unit and unit not in title.split() else title or unit
