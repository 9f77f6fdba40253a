"""Sections: an analyzer's answer as data (figures, tables, charts).

The screen, the text report and the page draw the same section, each in its own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Cell = str | int | float | None
"""A value of a table; None is shown as "-"."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its name.

    Attributes:
        unit: "pages", "bytes", "seconds", "ratio" (0 to 1) or "" for a plain count; it decides how
            the value is written.
        exactness: "exact", "derived", "sampled", or "" where the section's own is meant.
        note: what to compare it with, such as the kernel's own figure and the difference.
        needs: names of the kinds of events, and of what they tell, that it rests on: where a run
            has not all of them, an unknown figure is left out, and the section says why.
    """

    name: str
    value: float | None
    unit: str = ""
    exactness: str = ""
    note: str = ""
    needs: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column names; `units` has for each column a unit as in `Figure`, or "text".

    A column in which nothing is known is left out, and the section says so.
    """

    title: str
    columns: Sequence[str]
    units: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over a common x axis.

    Attributes:
        kind: "line", "bar", or "heat" (then `series` are rows of cells, by row label, with values
            from 0 to len(legend) - 1).
        x: positions, numbers or labels; all series have this length.
        units: of x and of the values, as in `Figure`.
        legend: for "heat", what each value means.
        needs: as in `Figure`: why a chart that has no value, and is therefore left out, has none.
        brief: names of series that the screen's overview shows in a line each.
        log: for "bar", of a distribution: bars grow by the logarithm of 1 + value, so that a few
            stay visible beside many.
    """

    title: str
    kind: str
    x_name: str
    x: Sequence[float | str]
    series: Mapping[str, Sequence[float | None]]
    units: tuple[str, str] = ("", "")
    legend: Sequence[str] = ()
    note: str = ""
    needs: Sequence[str] = ()
    brief: Sequence[str] = ()
    log: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One analyzer's answer.

    Attributes:
        title: a few words.
        lead: the answer in one or two sentences.
        figures, tables, charts: what it rests on, most important first.
        exactness: how far to believe it: "exact", "derived" or "sampled", and what it cannot know.
    """

    title: str
    lead: str
    figures: Sequence[Figure] = field(default_factory=tuple)
    tables: Sequence[Table] = field(default_factory=tuple)
    charts: Sequence[Chart] = field(default_factory=tuple)
    exactness: str = ""
