"""A comparison as text for a terminal of 80 columns."""

from __future__ import annotations

import textwrap

from ksmtrace.conformance.comparison import Comparison
from ksmtrace.drawing.lines import WIDTH


def engine_text(replay: Comparison) -> str:
    """The section that `replay --engine` prints: counts, rules with a verdict, first difference."""
    found = replay.to_json()
    lines = [
        f"engine {found['variant']}: {found['decisions']} decisions of the kernel followed",
        f"  {found['agreed']} agree, {found['parted']} part, "
        f"{found['unknown']} cannot be told from a capture",
        f"  {'rule':<16}{'agreed':>10}{'parted':>10}{'unknown':>10}",
    ]
    for name, row in found["by_rule"].items():
        if any(row[key] for key in ("agreed", "parted", "unknown")):
            lines.append(f"  {name:<16}{row['agreed']:>10}{row['parted']:>10}{row['unknown']:>10}")
    first = replay.first_difference
    if first is not None:
        line = f"first difference: {first}"
        lines += textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)
