"""Analyzer of advice: what to do about KSM on this host, by the figures of all other analyzers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ksmtrace import hookimpl
from ksmtrace.figures import known
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.plugins.advice.figures import FIGURES
from ksmtrace.plugins.advice.metrics import metric
from ksmtrace.plugins.advice.rules import Recommendation, recommend
from ksmtrace.plugins.advice.view import panel, section
from ksmtrace.section import Section
from ksmtrace.session import Knowledge, Session

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.panel import Panel


class Plugin:
    """At most five recommendations, most important first.

    JSON: `FIGURES`.
    """

    def __init__(self) -> None:
        self._given: list[Recommendation] | None = []
        self._tunables: Mapping[str, str] = {}

    @hookimpl
    def ksmtrace_batch(self, reconstruction: Reconstruction) -> None:
        """Keep the tunables at hand."""
        self._tunables = reconstruction.tunables

    @hookimpl
    def ksmtrace_conclude(self, document: Mapping[str, Any], session: Session) -> dict[str, Any]:
        """The recommendations; none are known of what is not KSM: they are made of its files."""
        self._given = None
        if session.knows(Knowledge.KSM_FILES):
            self._given = recommend(document, self._tunables or session.tunables)
        figures = {"recommendations": [one.to_json() for one in self._given or ()]}
        return known(FIGURES, session, figures)

    @hookimpl
    def ksmtrace_metrics(self) -> Iterable[Metric]:
        """Which rules recommend something."""
        return [] if self._given is None else [metric(self._given)]

    @hookimpl
    def ksmtrace_panels(self) -> Iterable[Panel]:
        """The recommendations, a line each."""
        return [panel(self._given)]

    @hookimpl
    def ksmtrace_sections(self) -> Iterable[Section]:
        """The recommendations with their evidence and commands, which are printed, never run."""
        return [section(self._given)]
