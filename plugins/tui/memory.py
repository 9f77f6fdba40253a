"""The bar of mergeable memory: saved, copies kept, unique, and why the rest is neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.text import Text

from ksmtrace.drawing.palette import STATES, UNKNOWN
from ksmtrace.plugins.tui.picture import Picture
from ksmtrace.units import format_value, share

WAITING, NEITHER, UNTOLD = "waiting for another look", "neither merged nor unique", "cause unknown"

_CHARACTERS = {
    "saved": "█",
    "copies kept": "▓",
    "unique": "▒",
    WAITING: "░",
    "changing": "v",
    "skipped": "s",
    "held": "x",
    NEITHER: "·",
    UNTOLD: "·",
}
"""By state, what it is drawn with: to be told without colours too."""

_HELD = ("fork_shared", "held", "huge_page", "chain_full", "other")


def memory_bar(picture: Picture, width: int) -> Iterator[Text]:
    """Where the pages are that processes have declared mergeable; nothing where that is unknown."""
    pages = mergeable(picture.document)
    total = sum(pages.values())
    if not total:
        return
    of = f"{format_value(total, 'pages')} pages"
    size = format_value(total * picture.page_size_bytes, "bytes")
    yield Text(f"Mergeable memory: {size} in {of}", "bold")
    yield _bar(pages, total, width)
    yield from packed(_legend(pages, total), width)


def mergeable(document: Mapping[str, Any]) -> dict[str, int]:
    """Pages by state, as far as they are told apart; empty where the gauges are not known.

    saved: a KSM page stands for it. copies kept: the KSM pages. unique: in the unstable tree,
    without a twin. `WAITING`: looked at once. changing: written to between two looks. skipped:
    passed over by smart scan. held: kept from its place. `UNTOLD`: one of these four, as far as a
    cause is not known; `NEITHER`: likewise, where none is.
    """
    analyzers, counters = document["analyzers"], document["counters"]

    def gauge(name: str, plugin: str) -> int | None:
        found: int | None = analyzers.get(plugin, {}).get(f"{name}_pages")
        return counters.get(f"pages_{name}") if found is None else found

    shared, sharing = gauge("shared", "stable_tree"), gauge("sharing", "stable_tree")
    unshared, volatile = gauge("unshared", "unstable_tree"), gauge("volatile", "volatile")
    if None in (shared, sharing, unshared, volatile):
        return {}
    assert shared is not None
    assert sharing is not None
    assert unshared is not None
    assert volatile is not None
    zero_pages = counters.get("ksm_zero_pages") or 0
    found = {"saved": sharing + zero_pages, "copies kept": shared, "unique": unshared}
    causes = analyzers.get("volatile", {}).get("causes") or {}
    now = {name: one["now_pages"] for name, one in causes.items()}
    if now.get("changed") is None:
        found[NEITHER] = volatile
    else:
        changing, skipped = now["changed"], now.get("skipped")
        causes = [now.get(name) for name in _HELD]
        held = sum(count or 0 for count in causes)
        rest = max(0, volatile - changing - (skipped or 0) - held)
        all_known = None not in (skipped, *causes)
        found |= {"changing": changing, "skipped": skipped or 0, "held": held}
        found[WAITING if all_known else UNTOLD] = rest
    return {name: count for name, count in found.items() if count > 0}


def _bar(pages: Mapping[str, int], total: int, width: int) -> Text:
    """Every state has a character at least; the largest gives way."""
    cells = {name: max(1, round(count / total * width)) for name, count in pages.items()}
    largest = max(cells, key=lambda name: cells[name])
    cells[largest] = max(1, cells[largest] + width - sum(cells.values()))
    bar = Text(no_wrap=True, overflow="crop")
    for name, count in cells.items():
        bar.append(_CHARACTERS[name] * count, STATES.get(name, UNKNOWN))
    return bar


def _legend(pages: Mapping[str, int], total: int) -> list[Text]:
    return [
        Text.assemble(
            (_CHARACTERS[name], STATES.get(name, UNKNOWN)),
            f" {name} {format_value(count, 'pages')} ({share(count / total)})",
        )
        for name, count in pages.items()
    ]


def packed(items: Iterable[Text], width: int) -> list[Text]:
    """Lines of as many items as there is room for, none of them broken."""
    lines: list[Text] = []
    for item in items:
        if lines and lines[-1].cell_len + 3 + item.cell_len <= width:
            lines[-1].append("   ").append_text(item)
        else:
            lines.append(Text(no_wrap=True, overflow="ellipsis").append_text(item))
    return lines
