"""Thresholds of `--check`: ranges as monitoring plugins have them, of figures with units.

The syntax is "Threshold and Ranges" of the Monitoring Plugins Development Guidelines: `10` is
outside 0 to 10, `10:` below 10, `~:10` above 10, `10:20` outside 10 to 20, `@10:20` inside.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from ksmtrace.cli.options import bytes_of
from ksmtrace.units import size

_NUMBER = r"(-?[0-9]{1,15}(?:\.[0-9]{1,9})?)"
_PERCENT = re.compile(_NUMBER + "%?", re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)


def _matched(form: re.Pattern[str]) -> Callable[[str], float]:
    def number(text: str) -> float:
        found = form.fullmatch(text)
        if found is None:
            raise ValueError(text)
        return float(found[1])

    return number


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that thresholds may be about.

    Attributes:
        key: of it in the JSON document.
        factor: by which the document's value becomes that of the unit.
        unit: of measurement, as performance data has it.
        parse: a bound, as given; raises ValueError where it is none.
        show: a value, for people.
        lowest, highest: that it can be; "" for what has no such bound.
        example: of a range.
    """

    key: tuple[str, ...]
    factor: float
    unit: str
    parse: Callable[[str], float]
    show: Callable[[float], str]
    lowest: str
    highest: str
    example: str


_BALANCE = ("analyzers", "balance")

METRICS = {
    "saved": Metric(
        (*_BALANCE, "total", "saved_bytes"),
        *(1, "B", bytes_of, lambda value: size(round(value)), "0", "", "100MiB:"),
    ),
    "net": Metric(
        (*_BALANCE, "total", "net_saved_bytes"),
        *(1, "B", bytes_of, lambda value: size(round(value)), "", "", "0:"),
    ),
    "ksmd": Metric(
        (*_BALANCE, "ksmd_cores"),
        *(100, "%", _matched(_PERCENT), lambda value: f"{value:.3g}%", "0", "100", "20%"),
    ),
    "lost": Metric(
        ("events", "lost"),
        *(1, "", _matched(_PLAIN), lambda value: f"{value:,.0f}", "0", "", "0"),
    ),
}
"""By name: saved and net memory, the share of a core that ksmd took, events that were lost."""


@dataclass(frozen=True, slots=True)
class Range:
    """Values that raise no alert: from `start` to `end`, both in it; or, `inside`, all others."""

    start: float
    end: float
    inside: bool = False

    @classmethod
    def parse(cls, text: str, bound: Callable[[str], float]) -> Range:
        """The range that `text` is.

        Raises:
            ValueError: it is none.
        """
        inside = text.startswith("@")
        first, colon, last = text.removeprefix("@").partition(":")
        if not colon:
            first, last = "", first
            if not last:
                raise ValueError(text)
        start = -math.inf if first == "~" else bound(first) if first else 0.0
        end = bound(last) if last else math.inf
        if start > end:
            raise ValueError(text)
        return cls(start, end, inside)

    def alerts(self, value: float) -> bool:
        """Whether `value` raises an alert."""
        return (self.start <= value <= self.end) is self.inside

    def words(self, value: float, show: Callable[[float], str]) -> str:
        """What such a value is that raises an alert, as in "it is below 3 GiB"."""
        if not self.inside:
            return f"below {show(self.start)}" if value < self.start else f"above {show(self.end)}"
        if self.start == -math.inf and self.end == math.inf:
            return "what it may not be, whatever it is"
        if self.start == -math.inf:
            return f"not above {show(self.end)}"
        if self.end == math.inf:
            return f"not below {show(self.start)}"
        return f"from {show(self.start)} to {show(self.end)}"

    def text(self, show: Callable[[float], str]) -> str:
        """In the same syntax, bounds as `show` writes them."""
        start = "~" if self.start == -math.inf else show(self.start)
        end = "" if self.end == math.inf else show(self.end)
        whole = end if self.start == 0 and end else f"{start}:{end}"
        return f"{'@' if self.inside else ''}{whole}"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A range of a metric, by its name in `METRICS`."""

    metric: str
    range: Range


def threshold(text: str) -> Threshold:
    """METRIC=RANGE."""
    name, equals, given = text.partition("=")
    metric = METRICS.get(name)
    if metric is None or not equals:
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} is not METRIC=RANGE, METRIC one of {', '.join(METRICS)}"
        )
    try:
        return Threshold(name, Range.parse(given, metric.parse))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:60]!r} has no range: say for example {name}={metric.example}"
        ) from None
