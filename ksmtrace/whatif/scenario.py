"""Scenarios and their outcomes: plain data that can go to another process or machine."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields

Settings = tuple[tuple[str, int | str], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way to run a case.

    Attributes:
        variant: a name of `ksmtrace.engine.variants.VARIANTS`.
        tunables: initial values, sorted by name; only what the variant has.
        left_out: tunables that were asked for, or are the file's own, and that the variant lacks.
        held: tunables that were asked for: what the case writes to them is left out.
        count_comparisons: whether the engine counts what searches compare, which takes time.
    """

    variant: str
    tunables: Settings
    left_out: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    count_comparisons: bool = True


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of a run at one moment; costs are counted from the end of the warm-up.

    Attributes:
        passes: full passes so far.
        batches: how often ksmd has woken up and scanned pages_to_scan pages.
        saved_bytes: page table entries that need no page of their own, times 4096.
        pages_shared: as in sysfs, like the three that follow; None where there is no such gauge.
        zero_pages: entries that map the zero page instead of an empty page; part of `saved_bytes`.
        pages_scanned: pages examined.
        comparisons: contents or hashes compared in trees and before a merge; None if not counted.
        cow_breaks: writes of processes to merged pages, each of which copied one.
        metadata_bytes: rmap_items and stable nodes.
    """

    passes: int
    batches: int
    saved_bytes: int
    pages_shared: int | None
    pages_sharing: int | None
    pages_unshared: int | None
    pages_volatile: int | None
    zero_pages: int
    pages_scanned: int
    comparisons: int | None
    cow_breaks: int
    metadata_bytes: int


POINT_FIELDS = tuple(each.name for each in fields(Point))
_UNKNOWN = -1


class Points:
    """Many `Point`s in little memory."""

    def __init__(self) -> None:
        self._values = array("q")

    def __len__(self) -> int:
        return len(self._values) // len(POINT_FIELDS)

    def __getitem__(self, index: int) -> Point:
        index += len(self) if index < 0 else 0
        if not 0 <= index < len(self):
            raise IndexError(index)
        width = len(POINT_FIELDS)
        stored = self._values[index * width : (index + 1) * width]
        values = (None if value == _UNKNOWN else value for value in stored)
        return Point(*values)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Point]:
        return (self[index] for index in range(len(self)))

    def append(self, point: Point) -> None:
        """Add a point at the end."""
        values = (getattr(point, name) for name in POINT_FIELDS)
        self._values.extend(_UNKNOWN if value is None else value for value in values)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario.

    Attributes:
        points: one for the end of each pass.
        at_end: after the last step.
        ended_early: why the run did not come to its last step; "" when it did.
        notes: lines of the run for the user.
    """

    points: Points
    at_end: Point
    ended_early: str = ""
    notes: tuple[str, ...] = ()
