"""What plugins answer, checked where it enters the run: what is none is left out, and told.

Each function returns the answer without what is wrong with it, and calls `complain` with a phrase
for each such thing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ksmtrace.section import Chart, Figure, Section, Table

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Complain = Callable[[str], None]

DEEPEST = 20
MOST_VALUES = 1_000_000
"""Of one answer: a document holds thousands."""

_LONGEST_NUMBER = 1024
_KINDS = ("line", "bar", "heat")


def json_object(given: Mapping[Any, object], complain: Complain) -> dict[str, Any]:
    """Values that JSON has, under texts as keys; null in the place of others.

    The result shares no list and no dictionary with what was given, which may change.
    """
    whole = dict(given)
    if len(whole) > MOST_VALUES:
        complain(f"its answer has {len(whole):,} values, more than {MOST_VALUES:,}: left out")
        return {}
    found = _Json(complain).value(whole, "")
    assert isinstance(found, dict)
    return found


class _Json:
    """One walk through an answer."""

    def __init__(self, complain: Complain) -> None:
        self._complain = complain
        self._open: set[int] = set()
        self._left = MOST_VALUES

    def value(self, given: object, where: str) -> object:
        self._left -= 1
        kind = type(given)
        if given is None or kind is bool or kind is str:
            return given
        if isinstance(given, str):
            return str.__str__(given)
        if isinstance(given, int) and kind is not bool:
            return self._number(int(given), where)
        if isinstance(given, float):
            if math.isfinite(given):
                return float(given)
            return self._none(f"{given:f}", where)
        if isinstance(given, (list, tuple, dict)):
            return self._nested(given, where)
        return self._none(_kind(given), where)

    def _number(self, given: int, where: str) -> object:
        if given.bit_length() > _LONGEST_NUMBER:
            return self._none(f"a number of {given.bit_length()} bits", where)
        return given

    def _nested(self, given: list[Any] | tuple[Any, ...] | dict[Any, Any], where: str) -> object:
        if id(given) in self._open:
            return self._none("in itself", where)
        if len(self._open) >= DEEPEST:
            return self._none("nested too deeply", where)
        if self._open and self._left < len(given):
            return self._none("one value too many", where)
        self._open.add(id(given))
        try:
            if isinstance(given, dict):
                return {
                    key: self.value(value, f"{where}.{key}" if where else key)
                    for key, value in given.items()
                    if self._is_key(key, where)
                }
            return [self.value(value, f"{where}[]") for value in given]
        finally:
            self._open.discard(id(given))

    def _is_key(self, key: object, where: str) -> bool:
        if type(key) is not str:
            self._complain(f"{where or 'its answer'} has {_kind(key)} as a key, and JSON has texts")
        return type(key) is str

    def _none(self, what: str, where: str) -> object:
        self._complain(f"{where} is {what}, which JSON does not have: null")
        return None


def metrics(given: Iterable[object], complain: Complain) -> tuple[Metric, ...]:
    """The metric families among these; what is in them is checked as they are written."""
    from prometheus_client.core import Metric

    found = []
    for one in given:
        if isinstance(one, Metric):
            found.append(one)
        else:
            complain(f"what is {_kind(one)} is no Metric")
    return tuple(found)


def sections(given: Iterable[object], complain: Complain) -> tuple[Section, ...]:
    """The sections among these, with the figures, tables and charts that can be drawn."""
    return tuple(found for one in given if (found := _section(one, complain)) is not None)


def panels(given: Iterable[object], complain: Complain) -> tuple[Any, ...]:
    """The renderables among these."""
    from rich.protocol import is_renderable

    found = []
    for one in given:
        if is_renderable(one):
            found.append(one)
        else:
            complain(f"what is {_kind(one)} is no panel")
    return tuple(found)


def _section(given: object, complain: Complain) -> Section | None:
    if not isinstance(given, Section):
        complain(f"what is {_kind(given)} is no Section")
        return None
    if not _are_texts(given.title, given.lead, given.exactness):
        complain("a section's title, lead and exactness are not all texts")
        return None

    def kept(name: str, right: Callable[[Any], str]) -> tuple[Any, ...]:
        parts = getattr(given, name)
        if not isinstance(parts, (list, tuple)):
            complain(f"{name} of section {given.title!r} are {_kind(parts)}")
            return ()
        found = []
        for part in parts:
            wrong = right(part)
            if wrong:
                complain(f"section {given.title!r}: {wrong}")
            else:
                found.append(part)
        return tuple(found)

    return replace(
        given,
        figures=kept("figures", _figure),
        tables=kept("tables", _table),
        charts=kept("charts", _chart),
    )


def _figure(given: object) -> str:
    """What is wrong with a figure, or ""."""
    if not isinstance(given, Figure):
        return f"what is {_kind(given)} is no Figure"
    if not _are_texts(given.name, given.unit, given.exactness, given.note):
        return "name, unit, exactness and note of a figure are not all texts"
    if not (_is_list(given.needs) and _are_texts(*given.needs)):
        return f"needs of figure {given.name!r} are no texts"
    return "" if _is_cell(given.value) else f"figure {given.name!r} is {_shown(given.value)}"


def _table(found: object) -> str:
    if not isinstance(found, Table):
        return f"what is {_kind(found)} is no Table"
    given: Any = found
    if not (_are_texts(given.title, given.note) and _is_list(given.columns, given.units)):
        return "title, note, columns and units of a table are not what they should be"
    if not _are_texts(*given.columns, *given.units) or len(given.columns) != len(given.units):
        return f"columns and units of table {given.title!r} are not texts, as many of each"
    if not isinstance(given.rows, (list, tuple)):
        return f"rows of table {given.title!r} are {_kind(given.rows)}"
    for row in given.rows:
        if not _is_list(row) or len(row) != len(given.columns):
            return f"a row of table {given.title!r} has not as many cells as columns"
        for cell in row:
            if not _is_cell(cell):
                return f"a cell of table {given.title!r} is {_shown(cell)}"
    return ""


def _chart(found: object) -> str:
    if not isinstance(found, Chart):
        return f"what is {_kind(found)} is no Chart"
    given: Any = found
    if not (
        _are_texts(given.title, given.x_name, given.note)
        and given.kind in _KINDS
        and _is_list(given.x, given.legend, given.units, given.needs, given.brief)
        and _are_texts(*given.legend, *given.units, *given.needs, *given.brief)
        and len(given.units) == 2
        and isinstance(given.series, Mapping)
    ):
        return "a chart has a part that is not what it should be"
    if not all(map(_is_cell, given.x)) or None in given.x:
        return f"the x axis of chart {given.title!r} has what is neither number nor text"
    for name, values in given.series.items():
        if not (_are_texts(name) and _is_list(values) and len(values) == len(given.x)):
            return f"a series of chart {given.title!r} has not as many values as its x axis"
        for value in values:
            if isinstance(value, str) or not _is_cell(value):
                return f"a value of chart {given.title!r} is {_shown(value)}"
            if given.kind == "heat" and not _is_level(value, given.legend):
                return f"a value of chart {given.title!r} is not in its legend"
    return ""


def _is_level(value: object, legend: Sequence[str]) -> bool:
    return value is None or (isinstance(value, (int, float)) and 0 <= value < len(legend))


def _is_cell(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return value.bit_length() <= _LONGEST_NUMBER
    return value is None or isinstance(value, str)


def _is_list(*values: object) -> bool:
    return all(isinstance(value, (list, tuple)) for value in values)


def _are_texts(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _shown(value: object) -> str:
    return f"{value:f}" if isinstance(value, float) else _kind(value)


def _kind(value: object) -> str:
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"of type {module}{kind.__qualname__}"
