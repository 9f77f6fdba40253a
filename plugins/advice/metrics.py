"""Computes the metric family of the recommendations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ksmtrace.plugins.advice.figures import ADVICE
from ksmtrace.plugins.advice.rules import RULES, Recommendation

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def metric(recommendations: Iterable[Recommendation]) -> Metric:
    """A series for each rule: 1 for those of these recommendations, 0 for the others."""
    given = {one.rule for one in recommendations}
    return ADVICE.make(*(((rule.__name__,), int(rule.__name__ in given)) for rule in RULES))
