"""Computes the metric families of groups: a series for each followed, and one for all others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ksmtrace.figures import Row, families, families_by
from ksmtrace.plugins.groups.figures import FIGURES, ROW, TRACKED
from ksmtrace.plugins.groups.group import Group

if TYPE_CHECKING:
    from prometheus_client.core import Metric


def metrics(
    found: Mapping[Group, Row], tracked: int, own: Mapping[str, int | None]
) -> Iterable[Metric]:
    """Families of what is known; nothing where nothing is.

    Args:
        found: figures by group, the others' included.
        tracked: groups that have series of their own.
        own: figures of all groups together, by key.
    """
    rows: dict[tuple[str, ...], Row] = {
        (group.cgroup, group.unit, group.vm): row for group, row in found.items()
    }
    shown = list(families_by(ROW, rows))
    yield from shown
    if shown:
        yield TRACKED.make(((), tracked))
        yield from families(FIGURES, own)
