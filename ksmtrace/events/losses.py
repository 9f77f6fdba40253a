"""What LOST records tell: how many events were dropped, why, and of which kinds."""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import LossCause
from ksmtrace.events.record import Records


def lose_any_kind(records: Records) -> npt.NDArray[np.bool_]:
    """Which records are losses of events of any kind, and not of one kind alone; shape (n,)."""
    found: npt.NDArray[np.bool_] = records["kind"] == kinds.LOST
    if found.any():
        found &= records["pfn"] == 0
    return found


def losses_of_any_kind(batch: EventBatch) -> npt.NDArray[np.int64]:
    """The places of the losses in a batch that are of events of any kind; ascending."""
    rows = batch.rows(kinds.LOST)
    of_any_kind: npt.NDArray[np.int64] = rows[batch.events["pfn"][rows] == 0]
    return of_any_kind


def lost_by_cause(batch: EventBatch) -> Counter[str]:
    """Events dropped within a batch, by the cause's name in lower case; "unknown" for a newer one.

    Older captures have no cause: there, the ring was full.
    """
    found: Counter[str] = Counter()
    for record in batch.of(kinds.LOST):
        number = int(record["address"])
        known = number in LossCause.__members__.values()
        found[LossCause(number).name.lower() if known else "unknown"] += int(record["aux"])
    return found
