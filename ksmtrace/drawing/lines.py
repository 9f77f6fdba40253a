"""Lines of plain text, cut or wrapped at 80 columns."""

from __future__ import annotations

import textwrap

from ksmtrace.lines import one_line

__all__ = ["WIDTH", "cut", "one_line", "wrapped"]

WIDTH = 80
"""Columns of plain text."""


def cut(line: str) -> str:
    """A line of at most `WIDTH` columns: a longer one ends in "..."."""
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


def wrapped(text: str, indent: str = "", first: str = "", width: int = WIDTH) -> str:
    """`text` in lines of at most `width` columns: `first` before the first, else `indent`."""
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    )
