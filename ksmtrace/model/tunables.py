"""The tunables as they stand, whatever they were when the run began."""

from __future__ import annotations

import numpy as np

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Gauge
from ksmtrace.events.tunable import tunable_writes


def follow_writes(tunables: dict[str, str], batch: EventBatch) -> None:
    """Change `tunables`, name to text, as the events of `batch` say, in their order.

    What the kernel refused, or a record cannot hold, changes nothing. `pages_to_scan`, which the advisor changes by itself, is
    also taken from readings of the kernel's counters.
    """
    events = batch.events
    is_write = batch.kind == EventKind.TUNABLE
    for row in np.flatnonzero(is_write | (batch.kind == EventKind.SAMPLE)).tolist():
        if not is_write[row]:
            if events["address"][row] == Gauge.PAGES_TO_SCAN:
                tunables["pages_to_scan"] = str(events["aux"][row])
            continue
        (write,) = tunable_writes(events[row : row + 1])
        if write.complete and not write.err:
            tunables[write.name] = write.text
