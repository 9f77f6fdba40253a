"""The report as text of 80 columns, without escape codes."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console

from ksmtrace.drawing.lines import WIDTH, wrapped
from ksmtrace.drawing.sections import SectionView
from ksmtrace.drawing.summary import Document, advice_text, facts, verdict
from ksmtrace.section import Section


def report_text(document: Document, sections: Sequence[Section], encoding: str) -> str:
    """Facts, verdict and advice, then every section.

    Args:
        document: the run's JSON document.
        sections: those of all plugins.
        encoding: of the output; block elements are drawn where it has them.
    """
    parts = [wrapped(f"ksmtrace report: {', '.join(facts(document))}")]
    if words := verdict(document):
        parts.append(wrapped(f"Verdict: {words}"))
    if given := advice_text(document):
        parts.append(given)
    parts += [_section(section, encoding) for section in sections]
    return "\n\n".join(parts) + "\n"


def _section(section: Section, encoding: str) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    Console(width=WIDTH, file=file, color_system=None, force_terminal=False).print(
        SectionView(section)
    )
    file.flush()
    lines = raw.getvalue().decode(encoding).splitlines()
    ruled = [lines[0], "-" * len(lines[0].rstrip()), *lines[1:]]
    return "\n".join(line.rstrip() for line in ruled)
