"""The present values of the tunables, from those at the start and the writes since."""

from __future__ import annotations

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.events.tunable import tunable_writes


def follow_writes(tunables: dict[str, str], batch: EventBatch) -> None:
    """Change `tunables`, name to text, as the events of `batch` say, in their order.

    What the kernel refused, or a record cannot hold, changes nothing.
    """
    for write in tunable_writes(batch.of(EventKind.TUNABLE)):
        if write.complete and not write.err:
            tunables[write.name] = write.text
