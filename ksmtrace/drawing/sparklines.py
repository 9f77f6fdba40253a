"""A series in one line of characters."""

from __future__ import annotations

from collections.abc import Sequence

from ksmtrace.drawing.charts import BLOCKS
from ksmtrace.drawing.scales import Scale, mean, resample


def sparkline(
    x: Sequence[float | str],
    values: Sequence[float | None],
    across: int,
    heights: str = BLOCKS.heights,
) -> str:
    """The course of `values` in `across` characters; where nothing is known there is a space.

    0 is the lowest character that is no space: it is known.
    """
    scale = Scale.of(values)
    steps = heights[1:]
    drawn = ""
    for value in resample(x, values, across, mean):
        share = scale.share(value)
        drawn += " " if share is None else steps[min(int(share * len(steps)), len(steps) - 1)]
    return drawn
