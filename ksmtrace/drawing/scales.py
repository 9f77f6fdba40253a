"""Values put into the columns and rows that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values that begins at 0, or at the least where some are below."""

    bottom: float
    top: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Scale:
        """The scale on which all of these fit."""
        known = [value for value in values if value is not None]
        return cls(min([0, *known]), max([0, *known]))

    def share(self, value: float | None) -> float | None:
        """How far up `value` is, 0 to 1."""
        if value is None:
            return None
        return (value - self.bottom) / (self.top - self.bottom) if self.top > self.bottom else 0.0


def columns_of(
    x: Sequence[float | str],
    values: Sequence[float | None],
    count: int,
    together: Callable[[Sequence[float]], float],
) -> list[float | None]:
    """`values` in `count` columns along x; `together` makes one of several, and one holds until the next.

    Before the first value, and from a None on, a column has None.
    """
    places = [float(at) for at in x if not isinstance(at, str)]
    if len(places) != len(x):
        places = [float(index) for index in range(len(x))]
    first, span = places[0], (places[-1] - places[0]) or 1.0
    held: list[list[float | None]] = [[] for _ in range(count)]
    for place, value in zip(places, values, strict=True):
        at = min(int((place - first) / span * count), count - 1)
        held[max(at, 0)].append(value)
    columns: list[float | None] = []
    for several in held:
        known = [value for value in several if value is not None]
        if known:
            columns.append(together(known))
        else:
            columns.append(None if several or not columns else columns[-1])
    return columns


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return sum(values) / len(values)


def one_line(text: object) -> str:
    """`text` on one line, with "?" for what cannot be printed."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))
