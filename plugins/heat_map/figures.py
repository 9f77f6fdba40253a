"""Declares the figures of the heat map and their metric families."""

from __future__ import annotations

from ksmtrace.events import EventKind
from ksmtrace.figures import PROCESS, FigureSpec, gauge
from ksmtrace.session import Knowledge

TREES: tuple[EventKind | Knowledge, ...] = (
    Knowledge.RMAP_ITEMS,
    *(EventKind.CMP_AND_MERGE_PAGE, EventKind.STABLE_APPEND),
    *(EventKind.REMOVE_RMAP_ITEM, EventKind.REMOVE_STABLE_NODE),
)
"""What it takes to know the tree of a page."""

_RMAP_ITEMS = gauge(
    "ksmtrace_rmap_item_pages",
    "Pages that ksmd tracks, by where they were as the last whole pass ended. Most of them "
    "volatile or candidate for long: little to merge, advise less memory; skipped: smart scan "
    "saves their cost.",
    "state",
)

LABELS = {"merged": "merged", "candidate": "unique", "volatile": "neither", "skipped": "skipped"}
"""What a state is called, by its key."""

PAGES = tuple(
    FigureSpec(
        state,
        "pages",
        help_text,
        section=name,
        metric=_RMAP_ITEMS,
        series=(state,),
    )
    for state, name, help_text in (
        ("merged", "merged pages", "In the stable tree."),
        ("candidate", "unique pages", "In the unstable tree."),
        ("volatile", "pages that are neither", "In neither."),
        ("skipped", "skipped pages", "In neither, and smart scan passed over it."),
    )
)
"""Pages by state, of all processes."""

_MAP = (
    FigureSpec("rmap_items", "", "Its rmap_items as the last pass ended."),
    FigureSpec("first_pass", "", "The pass of its first column, counted from 0."),
    FigureSpec("passes_per_column", "", "Passes in a column."),
    FigureSpec("row_bytes", "bytes", "Memory in a row."),
    FigureSpec(
        "rows[]",
        "",
        "Runs of addresses that had pages, by address, at most 64.",
        of=(
            FigureSpec("start", "text", "The first address, in hexadecimal."),
            FigureSpec(
                "cells",
                "text",
                "Where most of its pages were, a letter a column, at most 128: m merged, c "
                "candidate, v volatile, s skipped, x gone (rmap_items that were freed, against the "
                'most that there were), "." unknown (nothing there yet, or a pass not seen whole).',
            ),
        ),
    ),
)

FIGURES = (
    FigureSpec("passes", "", "Passes that ended.", needs=TREES),
    FigureSpec(
        "pages",
        "",
        "rmap_items of all processes as the last whole pass ended, by state.",
        needs=TREES,
        of=PAGES,
    ),
    FigureSpec(
        "processes[]",
        "",
        "The maps of the processes with most rmap_items, at most eight, largest first.",
        needs=TREES,
        of=(*PROCESS, *_MAP),
    ),
)
