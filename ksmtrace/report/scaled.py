"""Values divided so that axes have few digits."""

from __future__ import annotations

from collections.abc import Iterable

from ksmtrace.drawing.scales import one_line

_STEPS: dict[str, tuple[tuple[float, float, str], ...]] = {
    "bytes": tuple((1 << n, 1 << n, unit) for n, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "bytes"))),
    "seconds": ((7200, 3600, "h"), (1, 1, "s"), (1e-3, 1e-3, "ms"), (1e-6, 1e-6, "us"), (0, 1e-9, "ns")),
    "ratio": ((0, 0.01, "%"),),
}  # fmt: skip


def divisor(values: Iterable[float | None], unit: str) -> tuple[float, str]:
    """What to divide by so that the largest value has few digits, and the name of the unit that makes."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    for least, by, name in _STEPS.get(unit, ()):
        if largest >= least:
            return by, name
    return (1, "bytes") if unit == "bytes" else (1, "" if unit == "text" else unit)


def axis_title(name: str, unit: str) -> str:
    """The title of an axis: the unit in brackets unless it is the name."""
    said = one_line(name)
    return f"{said} ({unit})" if said and unit and unit not in said else said or unit
