"""The palette: what a colour means, on the screen, in charts of characters and on the page.

Each colour has a contrast of at least 3 on black and on white, and each two of them differ for
every kind of colour-blindness (tests/unit/drawing/test_palette.py). None says what is not said by a
word or a character too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

SAVED, UNIQUE, WAITING = "#4aa063", "#0684df", "#765810"
CHANGING, SKIPPED, GONE = "#f26910", "#d270b5", "#5e5e5e"

ANSI = {
    SAVED: "green",
    UNIQUE: "blue",
    WAITING: "yellow",
    CHANGING: "red",
    SKIPPED: "magenta",
    GONE: "bright_black",
}
"""What to take where a terminal has the 16 colours of its theme alone: the nearest of them by
arithmetic would be the same one for two states."""

STATES = {
    "saved": SAVED,
    "merged": SAVED,
    "copies kept": SAVED,
    "unique": UNIQUE,
    "candidate": UNIQUE,
    "waiting for another look": WAITING,
    "changing": CHANGING,
    "changed": CHANGING,
    "volatile": CHANGING,
    "neither": CHANGING,
    "skipped": SKIPPED,
    "smart scan": SKIPPED,
    "held": GONE,
    "gone": GONE,
}
"""Colours of states of pages, by the words that name them, those of metrics among them."""

GOOD, BAD, UNSURE, UNKNOWN = SAVED, CHANGING, UNIQUE, GONE
"""Colours of what is well, what is not, what is to be taken with care, and what is not known."""

SERIES = (UNIQUE, SKIPPED, WAITING, GONE, SAVED, CHANGING)
"""Colours of series that are no states, in order: those of well and ill last."""

RAMP = (GONE, UNIQUE, SAVED, WAITING, CHANGING)
"""Colours of levels that are no states, from little to much."""


def series_colours(names: Sequence[str]) -> list[str]:
    """A colour for each series: its state's where it is named as one, else one that is not taken.

    Of more than there are colours some have the same one.
    """
    taken = {STATES[name] for name in names if name in STATES}
    free = cycle([colour for colour in SERIES if colour not in taken] or SERIES)
    return [STATES.get(name) or next(free) for name in names]
