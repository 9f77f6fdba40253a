"""Fits values to the columns and rows of a drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values that contains 0."""

    bottom: float
    top: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Scale:
        """The scale that contains all of these and 0."""
        known = [value for value in values if value is not None]
        return cls(min([0, *known]), max([0, *known]))

    def share(self, value: float | None) -> float | None:
        """Position of `value` on the scale, from 0 at the bottom to 1 at the top."""
        if value is None:
            return None
        return (value - self.bottom) / (self.top - self.bottom) if self.top > self.bottom else 0.0


def resample(
    x: Sequence[float | str],
    values: Sequence[float | None],
    count: int,
    combine: Callable[[Sequence[float]], float],
) -> list[float | None]:
    """`values` in `count` columns of equal width along x.

    `combine` makes one value of several in a column; a value holds until the next one. A column has
    None before the first value, and after a None.
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
            columns.append(combine(known))
        else:
            columns.append(None if several or not columns else columns[-1])
    return columns


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return sum(values) / len(values)
