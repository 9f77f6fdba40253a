"""A metric family as text, in the two formats that Prometheus reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

if TYPE_CHECKING:
    from prometheus_client.core import Metric

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:.]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

EOF = b"# EOF\n"
"""What ends an exposition of OpenMetrics 1.0."""


@dataclass(frozen=True, slots=True)
class Exposition:
    """Families as text.

    Attributes:
        text: in the text format of Prometheus, 0.0.4.
        openmetrics: in OpenMetrics 1.0, without `EOF`.
    """

    text: bytes = b""
    openmetrics: bytes = b""

    def __add__(self, other: Exposition) -> Exposition:
        return Exposition(self.text + other.text, self.openmetrics + other.openmetrics)


class _Families:
    """What prometheus_client takes for a registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        """The families."""
        return self._families


def checked_exposition(family: Metric) -> Exposition:
    """A family of somebody else's as text, which no reader of either format refuses.

    Raises:
        Exception: of any kind, where it is not what it should be; the message says why.
    """
    series = set()
    for name in (family.name, *(sample.name for sample in family.samples)):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a metric")
    for sample in family.samples:
        for label in sample.labels:
            if not _LABEL.fullmatch(label) or label.startswith("__"):
                raise ValueError(f"{label!r} is no name of a label")
        one = (sample.name, *sorted(sample.labels.items()))
        if one in series:
            raise ValueError("two samples have equal labels")
        series.add(one)
    return exposition_of(family)


def exposition_of(*families: Metric) -> Exposition:
    """Families as text.

    Raises:
        Exception: of any kind, where they hold what cannot be written.
    """
    holder = _Families(families)
    return Exposition(
        generate_latest(holder),
        openmetrics.generate_latest(holder).removesuffix(EOF),  # type: ignore[no-untyped-call]
    )
