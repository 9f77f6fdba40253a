"""The report as text of 80 columns, without escape codes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

from rich.console import Console

from ksmtrace.drawing.sections import SectionView
from ksmtrace.drawing.words import Document, advice, facts, verdict
from ksmtrace.section import Section

WIDTH = 80


def report_text(document: Document, sections: Sequence[Section], encoding: str) -> str:
    """Facts, verdict and advice, then every section.

    Args:
        document: the run's JSON document.
        sections: what the plugins tell.
        encoding: of the output; blocks are drawn where it knows them.
    """
    parts = [_wrap(f"ksmtrace report: {', '.join(facts(document))}")]
    if said := verdict(document):
        parts.append(_wrap(f"Verdict: {said}"))
    if given := advice(document):
        parts.append(
            "\n".join(
                f"{_wrap(f'- {why}', '  ')}\n{_wrap(do, '    ', '    ')}" for why, do in given
            )
        )
    parts += [_section(section, encoding) for section in sections]
    return "\n\n".join(parts) + "\n"


def _wrap(text: str, indent: str = "", first: str = "") -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )


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
