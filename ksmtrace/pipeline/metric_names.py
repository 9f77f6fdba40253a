"""Names in a Prometheus exposition: which ones a metric family takes up, and who publishes each."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.core import Metric

RUN = "ksmtrace"
"""The run itself, among the publishers."""

PUBLISHED = "ksmtrace_published_timestamp_seconds"
RESTARTS = "ksmtrace_serving_restarts_total"
"""The families that the prometheus sink adds to those of a snapshot."""

_SUFFIXES = {
    "counter": ("_total", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "info": ("_info",),
    "summary": ("_sum", "_count", "_created"),
}
"""What a type adds to the family's name in the names of its samples (OpenMetrics 1.0)."""

_FOREIGN = re.compile(r"[^a-zA-Z0-9_:]")
"""Characters in whose place the text format has an underscore."""


class Publishers:
    """Who publishes which name in one exposition.

    A text format has one HELP and one TYPE line a name: Prometheus refuses a second one, and
    node_exporter's textfile collector then drops the whole file.
    """

    def __init__(self) -> None:
        self._of: dict[str, str] = dict.fromkeys((PUBLISHED, RESTARTS), RUN)

    def add(self, publisher: str, family: Metric) -> tuple[str, str] | None:
        """Note the names of `family` as those of `publisher`.

        Returns:
            None, or, where a name is taken, that name and who has it; then nothing is noted.
        """
        names = _names(family)
        for name in names:
            if name in self._of:
                return name, self._of[name]
        self._of.update(dict.fromkeys(names, publisher))
        return None


def _names(family: Metric) -> list[str]:
    suffixes = ("", *_SUFFIXES.get(family.type, ()))
    names = [f"{family.name}{suffix}" for suffix in suffixes]
    names += [sample.name for sample in family.samples]
    return list(dict.fromkeys(_FOREIGN.sub("_", name) for name in names))
