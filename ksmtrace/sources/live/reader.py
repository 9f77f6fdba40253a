"""Reads what an attachment gives: its events, and among them the kernel's counters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records, empty_records, joined, picked
from ksmtrace.events.totals import Outcome, total_records
from ksmtrace.sources.live.attachment import Attachment
from ksmtrace.sources.live.counter_samples import CounterSamples
from ksmtrace.sources.live.identities import Identities
from ksmtrace.sources.live.quiet_reading import (
    TRIES_AT_THE_ENDS,
    TRIES_WHILE_BUSY,
    QuietReading,
)
from ksmtrace.sources.live.stream import EventStream
from ksmtrace.sources.live.tunables_reader import TunablesReader

GIVE_UP_SECONDS = 10.0
"""For how long what has arrived by the end of a run is read unless something else is asked for."""

_KNOWN_FOR_GOOD = np.zeros(256, dtype=bool)
_KNOWN_FOR_GOOD[[EventKind.TUNABLE, EventKind.PROCESS, EventKind.PROCESS_TEXT]] = True
"""Kinds of events that nobody sends a second time."""


class Reader:
    """Everything comes a bounded part at a time: between two, whoever iterates does what is due.

    Args:
        ksmd_pid: pid of ksmd; 0 where it is not known.
        attachment: what is attached.
        counters: reads the kernel's counters.
        also_known: which events from before the first reading hold after it, besides those that
            nobody sends a second time.
        tunables: reads the tunables, where no event tells of writes to them.
        counted_before: what had been counted before what is counted belonged to the run.
        give_up: seconds after which what has arrived by the end of a run is given up.

    Attributes:
        stream: the events of the ring.
        unread: how many of them were given up.
    """

    def __init__(
        self,
        ksmd_pid: int,
        attachment: Attachment,
        counters: CounterSamples,
        also_known: Callable[[Records], npt.NDArray[np.bool_]],
        tunables: TunablesReader | None = None,
        counted_before: Mapping[Outcome, int] | None = None,
        give_up: float = GIVE_UP_SECONDS,
    ) -> None:
        self.stream = EventStream(attachment)
        self.unread = 0
        self._give_up = give_up
        self._ksmd_pid = ksmd_pid
        self._attachment = attachment
        self._counters = counters
        self._also_known = also_known
        self._tunables = tunables
        self._counted_before = counted_before or {}
        self._identities = Identities()
        self._known: list[Records] = []

    def take(self) -> Records:
        """The next events, and what is read as they come."""
        events = self.stream.take()
        pieces = [events, self._identities.follow(events), self._attachment.marks()]
        return joined(pieces) if any(map(len, pieces[1:])) else events

    def names_of(self, events: Records) -> Records:
        """What is read of processes that these events name."""
        return self._identities.follow(events)

    def caught_up(self, until: float) -> Iterator[Records]:
        """Events until all that has arrived has been given, or time.monotonic() is past `until`."""
        yield self.take()
        while self.stream.behind and time.monotonic() < until:
            yield self.take()

    def pass_over(self, until: float) -> None:
        """Let go of events that come before the first reading, as `caught_up`.

        What holds after it, writes to tunables and names of processes, comes behind it.
        """
        self._known += [self._known_for_good(events) for events in self.caught_up(until)]

    def first_reading(self, stopping: Callable[[], bool]) -> Records:
        """The kernel's counters, and of the events before, those that nobody sends again.

        Args:
            stopping: whether the run is to end.
        """
        reading, until = self._quiet_reading(), time.monotonic() + self._give_up

        def late() -> bool:
            return stopping() or time.monotonic() > until

        known, self._known = self._known, []
        for events in reading.tries(TRIES_AT_THE_ENDS, late):
            known.append(self._known_for_good(events))
        if not self.stream.behind:
            known.append(self._known_for_good(self.stream.held(at_end=False)))
            self.stream.missed()
        shares = self._samples(late)
        return joined([*shares, self._counted(reading), *known])

    def reading(self, stopping: Callable[[], bool]) -> Iterator[Records]:
        """Events, and the kernel's counters: as they are, where the events are behind.

        What can go together is one batch: each costs something, whatever is in it.

        Args:
            stopping: whether the run is to end: then not every process is read.
        """
        reading = self._quiet_reading()
        pieces = [empty_records()]
        for events in reading.tries(TRIES_WHILE_BUSY):
            yield pieces.pop()
            pieces.append(events)
        if not self.stream.behind:
            pieces += [self.stream.held(at_end=False), self._changed(), self.stream.missed()]
        for number, records in enumerate(self._samples(stopping)):
            if number:
                yield joined(pieces)
                pieces = []
            pieces.append(records)
        yield joined([*pieces, self._counted(reading)])

    def last_reading(self) -> Iterator[Records]:
        """What has arrived, as far as there is time for it, and the kernel's counters."""
        reading, until = self._quiet_reading(), time.monotonic() + self._give_up
        yield from reading.tries(TRIES_AT_THE_ENDS, lambda: time.monotonic() > until)
        yield from self.rest()
        yield from self._samples(lambda: time.monotonic() > until, at_end=True)
        yield self._counted(reading)

    def rest(self) -> Iterator[Records]:
        """What is out of the ring already, and a LOST record for what is in it yet, if any is."""
        while self.stream.expanded:
            yield self.take()
        yield self.stream.held(at_end=True)
        yield self._changed()
        if self.stream.behind:
            lost = self.stream.give_up()
            self.unread += int(lost["aux"].sum())
            yield lost
        yield self.stream.missed()

    @property
    def warnings(self) -> list[str]:
        """What was not read, one line at most."""
        if not self.unread:
            return []
        return [
            f"{self.unread:,} events were not read at the end, and are counted as lost: "
            f"reading was still behind {self._give_up:.0f} s after it"
        ]

    def _quiet_reading(self) -> QuietReading:
        return QuietReading(self._ksmd_pid, self._counters, self.stream, self.take)

    def _samples(self, late: Callable[[], bool], *, at_end: bool = False) -> Iterator[Records]:
        """What the kernel counts for each process, until it is `late`."""
        for records in self._identities.sample(at_end=at_end):
            yield records
            if late():
                return

    def _changed(self) -> Records:
        return self._tunables.changed() if self._tunables is not None else empty_records()

    def _counted(self, reading: QuietReading) -> Records:
        """What is counted in the kernel: by programs of the tracer, and by itself."""
        counts = self._attachment.totals().items()
        before = self._counted_before
        totals = total_records({one: count - before.get(one, 0) for one, count in counts})
        samples = self._counters.records(reading.counters, behind=self.stream.behind)
        return joined([totals, samples])

    def _known_for_good(self, events: Records) -> Records:
        """Of events before the first reading, those that hold after it."""
        return picked(events, _KNOWN_FOR_GOOD[events["kind"]] | self._also_known(events))
