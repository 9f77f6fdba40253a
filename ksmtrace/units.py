"""Numbers as text with their units: for the screen, the text report and the page."""

from __future__ import annotations

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_LEAST_ROUNDED = 1000
_SMALL_RATIO, _LEAST_RATIO = 0.01, 0.00001


def format_value(value: float | str | None, unit: str) -> str:
    """A value as text, such as "17.8 MiB", "2.5 ms" or "12.3%"; "-" for None.

    Pages and counts come without a unit: the name of the value has it.

    Args:
        value: a number, or a text, which is returned as it is.
        unit: as in `ksmtrace.section.Figure`, or "text".
    """
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    match unit:
        case "bytes":
            return size(value)
        case "seconds":
            return seconds(value)
        case "ratio":
            return share(value)
        case _:
            return number(value)


def number(value: float) -> str:
    """A number with thousands separators; one with a fraction gets three significant digits."""
    if value == int(value) or abs(value) >= _LEAST_ROUNDED:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def counted(count: float, one: str, several: str = "") -> str:
    """A count with its noun: "1 page", "2,048 pages"; `several` is `one` with an s unless given."""
    return f"{number(count)} {one if count == 1 else several or f'{one}s'}"


def size(value_bytes: float) -> str:
    """Bytes in the largest binary unit that leaves a number of at least 1, as "17.8 MiB"."""
    unit = 0
    while abs(value_bytes) >= 1024 and unit < len(_BYTES) - 1:
        value_bytes /= 1024
        unit += 1
    return f"{value_bytes:,.{min(unit, 1)}f} {_BYTES[unit]}"


def share(ratio: float) -> str:
    """A share in percent, with two digits that are not 0 where it is small: only 0 is "0%"."""
    if ratio in (0, 1):
        return f"{ratio:.0%}"
    if abs(ratio) >= _SMALL_RATIO:
        return f"{ratio:.1%}"
    if abs(ratio) < _LEAST_RATIO:
        return f"under {_LEAST_RATIO:.3%}"
    return f"{100 * ratio:.2g}%"


def seconds(value: float) -> str:
    """A time in us, ms or s with up to three digits, from two minutes on as "1:02:03"."""
    if abs(value) >= 120:
        return duration(value)
    for least, unit, factor in ((1, "s", 1), (1e-3, "ms", 1e3), (1e-6, "us", 1e6)):
        if abs(value) >= least:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.0f} ns" if value else "0 s"


def duration(value: float) -> str:
    """Seconds as "12.3 s", from two minutes on as "1:02:03"."""
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(int(value), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
