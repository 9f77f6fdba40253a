"""What every dashboard is made of: its frame, its variables, and panels with their queries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "ksmtrace"
"""Dashboards with this tag link to each other."""

CHOSEN = 'job=~"$job", instance=~"$instance"'
"""What every selector has: the chosen tracers."""

PAGES_A_SECOND = "cps"
"""Grafana has no unit for pages: counts per second."""

HALF, THIRD, QUARTER, SIXTH = 12, 8, 6, 4
"""Widths of panels, in columns of 24."""

Steps = Sequence[tuple[float | None, str]]
"""Colours, each from a value on; the first from None."""

_SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_BRACES = re.compile(r"\{([^}]*)\}")
_LETTERS = "ABCDEFGHIJ"
_ROW, _CHART = 4, 8


class _Panel(Protocol):
    """What the builders of all panels have in common."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: models.DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...


Made = TypeVar("Made", bound=_Panel)


def frame(uid: str, title: str, description: str) -> builders.Dashboard:
    """A dashboard without panels, with variables and links to the others; it is read-only."""
    every = models.VariableOption(text=["All"], value=["$__all"], selected=True)
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .time("now-6h", "now")
        .refresh("1m")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            builders.DashboardLink("Other ksmtrace dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
        .with_variable(
            builders.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
    )
    for name, query in (
        ("job", "label_values(ksmtrace_build_info, job)"),
        ("instance", 'label_values(ksmtrace_build_info{job=~"$job"}, instance)'),
    ):
        made.with_variable(
            builders.QueryVariable(name)
            .label(name.capitalize())
            .query(query)
            .datasource(_SOURCE)
            .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(models.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".+")
            .current(every)
        )
    return made


def of_chosen(expression: str) -> str:
    """The expression for the chosen tracers alone: every selector in it must have braces."""

    def narrowed(found: re.Match[str]) -> str:
        own = found.group(1)
        return f"{{{CHOSEN}, {own}}}" if own else f"{{{CHOSEN}}}"

    return _BRACES.sub(narrowed, expression)


def rate(selector: str) -> str:
    """Its rate, over the time that Grafana thinks right for the chart."""
    return f"rate({selector}[$__rate_interval])"


def number(
    title: str,
    description: str,
    unit: str,
    expression: str,
    *,
    steps: Steps = (),
    legend: str = "",
    width: int = SIXTH,
    decimals: int | None = None,
) -> stat.Panel:
    """One large figure with a sparkline; with `legend`, one for each series that exists now."""
    made = _common(stat.Panel(), title, description, unit, width, _ROW)
    query = _query(expression, legend or title, "A")
    # What a series that has ended said last is no figure of now.
    made.with_target(query.instant() if legend else query)
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    made.graph_mode(options.BigValueGraphMode.AREA)
    if legend:
        made.text_mode(options.BigValueTextMode.VALUE_AND_NAME)
    if steps:
        made.thresholds(_thresholds(steps)).color_mode(options.BigValueColorMode.VALUE)
    else:
        made.color_mode(options.BigValueColorMode.NONE)
    if decimals is not None:
        made.decimals(decimals)
    return made


def lines(
    title: str,
    description: str,
    unit: str,
    queries: Mapping[str, str],
    *,
    stacked: bool = False,
    width: int = HALF,
    most: float | None = None,
) -> timeseries.Panel:
    """Expressions over time, by their legends."""
    made = _common(timeseries.Panel(), title, description, unit, width, _CHART)
    for letter, (legend, expression) in zip(_LETTERS, queries.items(), strict=False):
        made.with_target(_query(expression, legend, letter))
    made.line_width(1).fill_opacity(30 if stacked else 5).show_points(options.VisibilityMode.NEVER)
    made.legend(
        common.VizLegendOptions()
        .display_mode(options.LegendDisplayMode.LIST)
        .placement(options.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    made.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI))
    if stacked:
        made.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL))
    if most is not None:
        made.min(0).max(most)
    return made


def bars(
    title: str, description: str, unit: str, expression: str, legend: str, *, width: int = THIRD
) -> bargauge.Panel:
    """A bar for each series, as it is now."""
    made = _common(bargauge.Panel(), title, description, unit, width, _CHART)
    made.with_target(_query(expression, legend, "A").instant())
    made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    made.orientation(options.VizOrientation.HORIZONTAL)
    made.display_mode(options.BarGaugeDisplayMode.BASIC).min(0)
    return made.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC))


def rows(
    title: str,
    description: str,
    labels: Sequence[str],
    columns: Mapping[str, tuple[str, str]],
    *,
    width: int = 24,
) -> table.Panel:
    """A table: a row for each set of `labels`, and columns of (expression, unit) as they are now.

    Grafana calls the value of query A "Value #A" once the queries are merged, and "Value" if there
    is but one.
    """
    made = _common(table.Panel(), title, description, "none", width, _CHART)
    hidden = {"Time": True, "__name__": True, "job": True}
    names, order = {}, {label: place for place, label in enumerate(labels)}
    for letter, (name, (expression, unit)) in zip(_LETTERS, columns.items(), strict=False):
        query = _query(expression, name, letter).instant().format(PromQueryFormat.TABLE)
        made.with_target(query)
        field = f"Value #{letter}" if len(columns) > 1 else "Value"
        names[field] = name
        order[field] = len(order)
        made.override_by_name(name, [models.DynamicConfigValue(id_val="unit", value=unit)])
    made.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    shown = {"excludeByName": hidden, "renameByName": names, "indexByName": order}
    made.with_transformation(models.DataTransformerConfig(id_val="organize", options=shown))
    return made.filterable(True)


def _common(made: Made, title: str, description: str, unit: str, width: int, height: int) -> Made:
    made.title(title).description(description).datasource(_SOURCE)
    made.unit(unit).span(width).height(height)
    return made


def _query(expression: str, legend: str, letter: str) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(of_chosen(expression)).legend_format(legend)
    return query.ref_id(letter).datasource(_SOURCE)


def _thresholds(steps: Steps) -> builders.ThresholdsConfig:
    made = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(made)
