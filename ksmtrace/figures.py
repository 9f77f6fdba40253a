"""Declarations of figures: what metrics, panels, sections and references of an analyzer come from.

An analyzer's module has them as `FIGURES`, and as `FAMILIES` the metric families that no single
figure is the value of. What is declared is data; how a figure is counted is the analyzer's code.
docs/REFERENCE.md, docs/METRICS.md and the JSON Schema are made from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from ksmtrace.events.kinds import EventKind
from ksmtrace.section import Figure
from ksmtrace.session import Knowledge, Session
from ksmtrace.units import format_value

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.text import Text

Row = Mapping[str, Any]
"""Values by JSON key: an analyzer's part of the document, or an entry of one of its lists."""

_WRITTEN = ("bytes", "seconds", "ratio")
"""Units without which a value in a panel could be misread."""

_MAKERS = {
    "gauge": "GaugeMetricFamily",
    "counter": "CounterMetricFamily",
    "histogram": "HistogramMetricFamily",
    "gaugehistogram": "GaugeHistogramMetricFamily",
}
"""Names of prometheus_client's classes by type: it is imported, with the HTTP server that comes
with it, by who publishes metrics."""


@dataclass(frozen=True, slots=True)
class Family:
    """A Prometheus metric family.

    Attributes:
        name: with its unit, and `_total` for a counter.
        type: "gauge", "counter", "histogram" or "gaugehistogram".
        help: what it is and what to do with it: a HELP line, and a row of docs/METRICS.md.
        labels: names of labels, a bucket's `le` left out.
        all_or_none: it is published only when every one of its figures is known.
        of: JSON keys that it is computed from, where it is not the value of figures.
    """

    name: str
    type: str
    help: str
    labels: tuple[str, ...] = ()
    all_or_none: bool = False
    of: tuple[str, ...] = ()

    def make(self, *samples: tuple[Iterable[str], float]) -> Metric:
        """A fresh gauge or counter with these samples: label values, and the value."""
        made = self._made(labels=self.labels)
        for labels, value in samples:
            made.add_metric(list(labels), value)
        return cast("Metric", made)

    def make_buckets(self, buckets: Iterable[tuple[str, float]], total: float) -> Metric:
        """A fresh histogram without labels.

        Args:
            buckets: (upper bound, cumulated count), the last one's bound "+Inf".
            total: the sum of all values that were counted.
        """
        made = self._made()
        made.add_metric([], list(buckets), total)
        return cast("Metric", made)

    def _made(self, **more: object) -> Any:  # noqa: ANN401 - the classes have no type in common
        from prometheus_client import core

        return getattr(core, _MAKERS[self.type])(self.name, self.help, **more)


def gauge(name: str, help_text: str, *labels: str, of: tuple[str, ...] = ()) -> Family:
    """A gauge."""
    return Family(name, "gauge", help_text, labels, of=of)


def counter(
    name: str, help_text: str, *labels: str, all_or_none: bool = False, of: tuple[str, ...] = ()
) -> Family:
    """A counter; its name ends in `_total`."""
    return Family(name, "counter", help_text, labels, all_or_none, of)


@dataclass(frozen=True, slots=True)
class FigureSpec:
    """One figure of an analyzer.

    Attributes:
        key: in the JSON document. "[]" after it: a list, "[][]": one of lists; ".<name>" after it:
            an object with such keys, which depend on the run.
        unit: "pages", "bytes", "count" (whole numbers), "seconds", "ratio" (0 to 1), "text", "flag"
            (true or false), or "" for a plain number; it decides how a value is written.
        help: what it is, as docs/REFERENCE.md has it.
        needs: kinds of events, and what they must tell, without which it is not known (None).
        counted: it is a number of such events, so that it is known where they are counted only.
        panel: its name in the panel of the screen, where it is in there.
        section: its name among the figures of the section, where it is among them.
        exactness: as in `ksmtrace.section.Figure`.
        metric: the family that has it as a sample, and `series` the values of the family's labels.
        of: keys of the object, or of each object of the list, that it is.
        one_of: all texts that it may be; () for any.
        null: it may be null.
        optional: it may be missing.
        name: the key itself, without what follows it.
    """

    key: str
    unit: str
    help: str
    _: KW_ONLY
    needs: tuple[EventKind | Knowledge, ...] = ()
    counted: bool = False
    panel: str = ""
    section: str = ""
    exactness: str = ""
    metric: Family | None = None
    series: tuple[str, ...] = ()
    of: tuple[FigureSpec, ...] = ()
    one_of: tuple[str, ...] = ()
    null: bool = True
    optional: bool = False
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.key.split(".")[0].rstrip("[]"))


Specs = tuple[FigureSpec, ...]


def known(specs: Specs, session: Session, values: Row) -> dict[str, Any]:
    """`values` in their order; None for a figure that needs what this run does not see.

    Raises:
        KeyError: a value that is not declared.
    """
    declared = {spec.name: spec for spec in specs}
    if missing := values.keys() - declared:
        raise KeyError(f"figures without a declaration: {', '.join(sorted(missing))}")
    return {
        key: _known(spec, session, value) if spec.needs or spec.of else value
        for key, value in values.items()
        for spec in (declared[key],)
    }


def _known(spec: FigureSpec, session: Session, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if value is None or not (
        all(map(session.knows, spec.needs))
        or (spec.counted and all(map(session.counts, spec.needs)))
    ):
        return None
    if not spec.of:
        return value
    if spec.key.endswith("[]"):
        return [known(spec.of, session, entry) for entry in value]
    if spec.key != spec.name:
        return {name: known(spec.of, session, entry) for name, entry in value.items()}
    return known(spec.of, session, value)


def families(
    specs: Specs, row: Row, types: Iterable[str] = ("gauge", "counter")
) -> Iterator[Metric]:
    """Fresh metric families of the figures in `row` that are known, by type, then as declared."""
    return families_by(specs, {(): row}, types)


def families_by(
    specs: Specs, rows: Mapping[tuple[str, ...], Row], types: Iterable[str] = ("gauge", "counter")
) -> Iterator[Metric]:
    """The same with samples of each of these rows; the key of a row is its first label values."""
    for wanted in types:
        found = (spec.metric for spec in specs if spec.metric and spec.metric.type == wanted)
        for family in dict.fromkeys(found):
            samples = [
                ((*labels, *spec.series), row[spec.name])
                for labels, row in rows.items()
                for spec in _known_of(family, specs, row)
            ]
            if samples:
                yield family.make(*samples)


def _known_of(family: Family, specs: Specs, row: Row) -> Specs:
    own = tuple(spec for spec in specs if spec.metric is family)
    found = tuple(spec for spec in own if row.get(spec.name) is not None)
    return found if found == own or not family.all_or_none else ()


def first(specs: Specs, *names: str) -> Specs:
    """The declarations with those of these keys first, in this order, then the others."""
    by_name = {spec.name: spec for spec in specs}
    return (*map(by_name.__getitem__, names), *(s for s in specs if s.name not in names))


def panel_rows(
    specs: Specs, row: Row, instead: Mapping[str, float | str | None] | None = None
) -> list[tuple[str | Text, float | str | None]]:
    """Name and value of the figures that a panel shows and that are known, as declared.

    Args:
        specs: of all figures.
        row: their values.
        instead: what is shown of figures that are not shown as their unit is written.
    """
    instead = instead or {}
    return [
        (spec.panel, instead[name] if name in instead else _shown(row[name], spec.unit))
        for spec in specs
        for name in (spec.name,)
        if spec.panel and instead.get(name, row[name]) is not None
    ]


def _shown(value: float | None, unit: str) -> float | str | None:
    return value if value is None or unit not in _WRITTEN else format_value(value, unit)


def section_figures(specs: Specs, row: Row, notes: Mapping[str, str] | None = None) -> list[Figure]:
    """The figures that a section shows, as declared, each with its note, if there is one."""
    return [
        Figure(
            spec.section,
            row[spec.name],
            "" if spec.unit == "text" else spec.unit,
            spec.exactness,
            (notes or {}).get(spec.name, ""),
            names_of(spec.needs),
        )
        for spec in specs
        if spec.section
    ]


def names_of(needs: Iterable[EventKind | Knowledge]) -> tuple[str, ...]:
    """The names by which a section's parts say what they rest on."""
    return tuple(need.value if isinstance(need, Knowledge) else need.name.lower() for need in needs)


def without_metrics(specs: Specs) -> Specs:
    """The same figures where they are not published, as in a list."""
    return tuple(replace(spec, metric=None, series=()) for spec in specs)


PROCESS = (
    FigureSpec("pid", "", "Null where no name was seen."),
    FigureSpec("comm", "text", 'Null likewise; "?" in it stands for what cannot be printed.'),
    FigureSpec("mm", "text", "Its key in the capture, in hexadecimal."),
)
"""Keys of a process."""

GROUP = (
    FigureSpec("cgroup", "text", "The cgroup of the process; empty or null where not known."),
    FigureSpec("vm", "text", "The guest that it runs; empty or null without one."),
)
"""Keys of what a process belongs to."""

RANGE = (
    FigureSpec("start", "text", "The first address, in hexadecimal."),
    FigureSpec("end", "text", "The first address behind it, in hexadecimal."),
)
"""Keys of a run of addresses."""
