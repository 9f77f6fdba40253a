"""Declares the recommendations as figures, and their metric family."""

from __future__ import annotations

from ksmtrace.figures import FigureSpec, gauge
from ksmtrace.session import Knowledge

ADVICE = gauge(
    "ksmtrace_advice",
    "1 for each rule that recommends something now. `ksmtrace live --once --json` tells the "
    "evidence and the command.",
    "rule",
    of=("recommendations[].rule",),
)
FAMILIES = (ADVICE,)

FIGURES = (
    FigureSpec(
        "recommendations[]",
        "",
        "At most five, most important first.",
        needs=(Knowledge.KSM_FILES,),
        of=(
            FigureSpec(
                "rule", "text", "The rule that gives it, of `ksmtrace.plugins.advice.rules`."
            ),
            FigureSpec("advice", "text", "What to do."),
            FigureSpec("evidence", "text", "Why."),
            FigureSpec("command", "text", "What would do it: printed, and never run by ksmtrace."),
        ),
    ),
)
