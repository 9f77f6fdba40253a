"""The records of a ring as events, a bounded part at a time."""

from __future__ import annotations

import time
from collections import deque

from ksmtrace.events.cut import pieces_of
from ksmtrace.events.losses import lose_any_kind
from ksmtrace.events.record import Records, empty_records, joined
from ksmtrace.kernel.sysfs import read_tunables
from ksmtrace.sources.live.attachment import Attachment
from ksmtrace.sources.live.gathered.expander import Expander
from ksmtrace.sources.live.losses import LossTracker, lost_record
from ksmtrace.sources.live.passed_over import PassedOver
from ksmtrace.sources.live.portion import Portion
from ksmtrace.sources.live.ring import MOST_RECORDS

_LONGEST_WAIT_NS = 2_000_000_000
"""Other tasks' events wait so long for the end of a batch of ksmd, which may be at rest."""


class EventStream:
    """Takes the records of an attachment's ring; gives events, with LOST where some are missing.

    Attributes:
        portion: how many events are given at a time.
        quiet: whether nothing had arrived when the ring was looked at last.
    """

    def __init__(self, attachment: Attachment) -> None:
        self.portion = Portion()
        self.quiet = True
        self._attachment = attachment
        self._losses = LossTracker()
        self._passed_over = PassedOver(attachment.program)
        self._expander: Expander | None = None
        if attachment.gathers:
            self._expander = Expander(attachment.ask_for_inventory, _pages_to_scan)
        self._taken: deque[Records] = deque()
        self._more = False
        self._filling = False
        self._given: tuple[int, float] | None = None
        self._each = 0.0

    @property
    def behind(self) -> bool:
        """Whether more has arrived than has been given."""
        return self._more or bool(self._taken)

    @property
    def filling(self) -> bool:
        """Whether the ring should be looked at again without a pause."""
        return self.behind or self._filling

    @property
    def expanded(self) -> bool:
        """Whether there are events that are out of the ring, and not given yet."""
        return bool(self._taken)

    @property
    def gathers(self) -> bool:
        """Whether ksmd's batches are gathered."""
        return self._expander is not None

    def take(self) -> Records:
        """The next events, few enough to be done with in a fraction of a second.

        They are the caller's. A batch of ksmd is expanded as a whole, and given in equal parts: a
        small rest would cost as much.
        """
        began = time.monotonic()
        if self._given is not None:
            count, since = self._given
            self.portion.took(count, self._each + began - since)
        if not self._taken:
            drained = self._attachment.drain(self.portion.most)
            self.quiet, self._more = not drained.slots, drained.more
            self._filling = drained.slots > 0 and drained.slots >= self._attachment.capacity // 4
            events = self._losses.mark(drained.events)
            if self._expander is not None:
                events = self._expander.feed(events, drained.words)
            pieces = max(round(len(events) / self.portion.most), 1)
            self._taken.extend(pieces_of(events, max(-(-len(events) // pieces), 1)))
            self._each = (time.monotonic() - began) / pieces
        events = self._taken.popleft() if self._taken else empty_records()
        self._given = len(events), time.monotonic()
        return events

    def pause(self, seconds: float) -> None:
        """Sleep; nothing that was taken is at work meanwhile."""
        self._given = None
        time.sleep(seconds)

    def held(self, *, at_end: bool) -> Records:
        """What waits for ksmd's batch to end, and has waited too long; all of it `at_end`."""
        if self._expander is None:
            return empty_records()
        if at_end:
            return self._expander.flush()
        return self._expander.release(time.monotonic_ns() - _LONGEST_WAIT_NS)

    def missed(self) -> Records:
        """LOST records for what nothing in the stream told.

        It is what the ring had no room for, and what the kernel passed over.
        """
        full = self._losses.settle(self._attachment.lost())
        missed = joined([full, self._passed_over.records()])
        if lose_any_kind(missed).any() and self._expander is not None:
            self._expander.lose()
        return missed

    def give_up(self) -> Records:
        """Empty the ring without looking at what it holds; a LOST record of how much that is.

        What arrives meanwhile may be left: a ring's worth is taken.
        """
        unread, slots = 0, 0
        while True:
            drained = self._attachment.drain(MOST_RECORDS)
            unread += drained.records
            slots += drained.slots
            if not drained.more or slots >= self._attachment.capacity:
                break
        self._more = False
        return lost_record(unread, time.monotonic_ns()) if unread else empty_records()


def _pages_to_scan() -> int | None:
    text = read_tunables().get("pages_to_scan", "")
    return int(text) if text.isdecimal() else None
