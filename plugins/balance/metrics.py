"""Computes the metric families of the balance sheet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ksmtrace.figures import families, first
from ksmtrace.model.verdict import Answer
from ksmtrace.plugins.balance.balance import Balance
from ksmtrace.plugins.balance.figures import SAVED_PER_CORE, TOTAL, VERDICT

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def metrics(balance: Balance) -> Iterable[Metric]:
    """Totals of what this run can see."""
    figures = balance.total.to_json()
    yield from families(first(TOTAL, "net_saved_bytes"), figures, ("gauge",))
    if balance.facts.bytes_per_core is not None:
        yield SAVED_PER_CORE.make(((), balance.facts.bytes_per_core))
    yield from families(TOTAL, figures, ("counter",))
    answers = {answer: int(answer is balance.verdict.answer) for answer in Answer}
    yield VERDICT.make(*(((answer.value,), given) for answer, given in answers.items()))
