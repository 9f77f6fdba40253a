"""Two live streams of one kernel at once, and what one says of ksmd's passes that the other does
not."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np

from ksmtrace.events import EventKind
from ksmtrace.events.record import Records, empty_records
from ksmtrace.events.tunable import tunable_writes
from ksmtrace.sources.live.opening import LiveOptions
from ksmtrace.sources.live.source import LiveSource

OF_KSMD = (
    EventKind.CMP_AND_MERGE_PAGE,
    EventKind.TRY_TO_MERGE_ONE_PAGE,
    EventKind.REPLACE_PAGE,
    EventKind.BREAK_COW,
    EventKind.STABLE_APPEND,
    EventKind.REMOVE_RMAP_ITEM,
    EventKind.REMOVE_STABLE_NODE,
    EventKind.SKIPPED,
)
"""Kinds that ksmd's thread makes, run=2 and memory hotplug excepted."""

_COMPARED = [
    *("kind", "flags", "err", "oldchecksum", "checksum"),
    *("mm", "address", "rmap_item", "aux"),
]
"""Columns that must be equal: all that is neither a time nor a place in the ring, nor the page of a
candidate, which gathering does not know."""

RING_BYTES = 128 * 1024 * 1024

PassKey = tuple[int, int]
"""How often 2 had been written to run, with which ksm_scan.seqnr begins anew, and its value."""


@dataclass
class Passes:
    """A stream by pass.

    Attributes:
        whole: events of ksmd in each pass of which both ends were seen, in order.
        lost: events that were lost.
    """

    whole: dict[PassKey, Records] = field(default_factory=dict)
    lost: int = 0


def passes(events: Records) -> Passes:
    """Cut a stream at SCAN_START and SCAN_STOP; what is outside of a whole pass is left out."""
    found = Passes(lost=int(events["aux"][events["kind"] == EventKind.LOST].sum()))
    marks = np.flatnonzero(np.isin(events["kind"], (EventKind.SCAN_START, EventKind.SCAN_STOP)))
    of_ksmd = np.isin(events["kind"], OF_KSMD)
    begins_anew = np.cumsum(_empties_ksm(events))
    last, start = -1, None
    for row in marks.tolist():
        seqnr = int(events["aux"][row])
        if events["kind"][row] == EventKind.SCAN_START:
            start, last = row, seqnr
        elif start is not None and seqnr == last:
            found.whole[int(begins_anew[row]), seqnr] = events[start:row][of_ksmd[start:row]]
            start = None
    return found


def _empties_ksm(events: Records) -> np.ndarray:
    """Whether each event is a write of 2 to run, with which ksm_scan.seqnr begins anew."""
    written = events["kind"] == EventKind.TUNABLE
    twos = [one.name == "run" and one.text == "2" and not one.err for one in tunable_writes(events)]
    found = np.zeros(len(events), dtype=bool)
    found[np.flatnonzero(written)] = twos
    return found


@dataclass
class Comparison:
    """What two streams say of the passes that both saw whole.

    Attributes:
        shared: how many passes were compared.
        events: by kind, how many events the first stream has in them.
        missing: by kind, events of the first that the second lacks.
        extra: by kind, events of the second that the first lacks.
        other_order: passes with the same events in another order.
        other_page_order: passes with the same pages examined or skipped, in another order.
        examples: some of what is missing (-) or extra (+), with its pass.
    """

    shared: int = 0
    events: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    extra: Counter[str] = field(default_factory=Counter)
    other_order: int = 0
    other_page_order: int = 0
    examples: list[str] = field(default_factory=list)


def compare(one: Passes, other: Passes, most_examples: int = 12) -> Comparison:
    """Every pass of both, event for event."""
    found = Comparison()
    for key in one.whole.keys() & other.whole.keys():
        left, right = _rows(one.whole[key]), _rows(other.whole[key])
        found.shared += 1
        found.events.update(_kind(row) for row in left)
        if left == right:
            continue
        before, after = Counter(left), Counter(right)
        missing, extra = before - after, after - before
        found.missing.update(_kind(row) for row in missing.elements())
        found.extra.update(_kind(row) for row in extra.elements())
        if not missing and not extra:
            found.other_order += 1
            found.other_page_order += _pages(left) != _pages(right)
            if len(found.examples) < most_examples:
                apart = next(
                    n for n, rows in enumerate(zip(left, right, strict=True)) if rows[0] != rows[1]
                )
                found.examples += [
                    f"pass {key} row {apart}: {_text(rows[apart])}" for rows in (left, right)
                ]
        for sign, rows in (("-", missing), ("+", extra)):
            for row in rows:
                if len(found.examples) < most_examples:
                    found.examples.append(f"pass {key} {sign} {_text(row)}")
    return found


Row = tuple[int, ...]


def _rows(events: Records) -> list[Row]:
    columns = (events[name].tolist() for name in _COMPARED)
    return list(zip(*columns, strict=True))


def _pages(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row[0] in (EventKind.CMP_AND_MERGE_PAGE, EventKind.SKIPPED)]


def _kind(row: Row) -> str:
    return EventKind(row[0]).name


def _text(row: Row) -> str:
    columns = zip(_COMPARED[1:], row[1:], strict=True)
    return f"{_kind(row)} " + " ".join(f"{name}={value:#x}" for name, value in columns)


class Stream:
    """A live source that is drained by a thread of its own, from `with` to its end.

    Attributes:
        source: the source.
        events: all its events; there when the `with` has ended.
    """

    def __init__(self, probes: str, **options: object) -> None:
        self.source = LiveSource.open(
            LiveOptions(probes=probes, ring_bytes=RING_BYTES, give_up=900.0, **options)
        )
        self.events = empty_records()
        self._pieces: list[Records] = []
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._drain)

    def _drain(self) -> None:
        try:
            for batch in self.source.batches():
                self._pieces.append(np.array(batch.events))
                # what comes before the first reading is of a time before it
                if len(batch.of(EventKind.SAMPLE)):
                    self._begun.set()
        finally:
            self._begun.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.source.stop()
        self._thread.join()
        self.source.close()
        self.events = np.concatenate([empty_records(), *self._pieces])
