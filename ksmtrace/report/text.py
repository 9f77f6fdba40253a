"""The report as text without escape codes, as wide as is asked for."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console

from ksmtrace.drawing.lines import WIDTH, wrapped
from ksmtrace.drawing.sections import SectionView
from ksmtrace.drawing.summary import Document, advice_text, facts, verdict
from ksmtrace.section import Section

_NARROWEST, _WIDEST, _WIDEST_PROSE = 40, 240, 100


def report_text(
    document: Document,
    sections: Sequence[Section],
    encoding: str,
    *,
    host: str = "",
    tunables: Sequence[str] = (),
    width: int = WIDTH,
) -> str:
    """Facts, verdict and advice, then every section.

    Args:
        document: the run's JSON document.
        sections: those of all plugins.
        encoding: of the output; block elements are drawn where it has them.
        host: name of the traced machine, "" where not known.
        tunables: each in a few words.
        width: columns of charts and tables; those of prose are 100 at most.
    """
    width = min(max(width, _NARROWEST), _WIDEST)
    prose = min(width, _WIDEST_PROSE)
    parts = [wrapped(f"ksmtrace report: {', '.join(facts(document, host))}", width=prose)]
    if tunables:
        parts.append(wrapped(f"Tunables: {', '.join(tunables)}", width=prose))
    if words := verdict(document):
        parts.append(wrapped(f"Verdict: {words}", width=prose))
    if given := advice_text(document, prose):
        parts.append(given)
    parts += [_section(section, encoding, width) for section in sections]
    return "\n\n".join(parts) + "\n"


def sections_text(sections: Sequence[Section], encoding: str, width: int = WIDTH) -> str:
    """Sections alone, one after another.

    Args:
        sections: what to draw.
        encoding: of the output.
        width: columns of tables; those of prose are 100 at most.
    """
    width = min(max(width, _NARROWEST), _WIDEST)
    return "\n\n".join(_section(section, encoding, width) for section in sections) + "\n"


def _section(section: Section, encoding: str, width: int) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")
    Console(width=width, file=file, color_system=None, force_terminal=False).print(
        SectionView(section)
    )
    file.flush()
    lines = raw.getvalue().decode(encoding).splitlines()
    ruled = [lines[0], "-" * len(lines[0].rstrip()), *lines[1:]]
    return "\n".join(line.rstrip() for line in ruled)
