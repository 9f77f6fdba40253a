"""A figure over time in bounded space: the longer it gets, the coarser."""

from __future__ import annotations

MOST_POINTS = 512


class Timeline:
    """Points of (seconds, values...), at most `most` of them.

    When it is full every second point is dropped, and the step doubles.

    What is kept depends on the order of points alone, not on how the stream was cut. The last point
    given is always kept.

    Args:
        names: what the values are, in order.
        most: an even number.
    """

    def __init__(self, *names: str, most: int = MOST_POINTS) -> None:
        self.names = names
        self._most = most
        self._step = 1
        self._given = 0
        self._points: list[tuple[float, ...]] = []
        self._last: tuple[float, ...] | None = None

    def add(self, seconds: float, *values: float) -> None:
        """The next point."""
        self._last = (seconds, *values)
        if self._given % self._step == 0:
            self._points.append(self._last)
            if len(self._points) == self._most:
                self._points = self._points[::2]
                self._step *= 2
        self._given += 1

    def points(self) -> list[tuple[float, ...]]:
        """(seconds, values...) in order of time."""
        if self._last is not None and self._points[-1] is not self._last:
            return [*self._points, self._last]
        return list(self._points)

    def column(self, name: str) -> list[float]:
        """The values called `name`; "seconds" for the times."""
        at = 0 if name == "seconds" else 1 + self.names.index(name)
        return [point[at] for point in self.points()]
