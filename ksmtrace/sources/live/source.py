"""The live source: events out of the ring, with readings of the kernel's counters in between."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from ksmtrace.errors import HostError
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.events.losses import lose_any_kind
from ksmtrace.events.probe_time import StreamEnd
from ksmtrace.events.record import Records, empty_records
from ksmtrace.events.totals import Outcome, total_records
from ksmtrace.kernel.capabilities import keep_only
from ksmtrace.kernel.files import UNREAD
from ksmtrace.kernel.host import read_kernel
from ksmtrace.kernel.presence import why_no_ksmd
from ksmtrace.kernel.processes import read_rest
from ksmtrace.kernel.sysfs import Counters, read_tunables
from ksmtrace.session import Exactness, Session
from ksmtrace.sources.live.attachment import Attachment, attach
from ksmtrace.sources.live.budget import Budget
from ksmtrace.sources.live.counter_samples import CounterSamples
from ksmtrace.sources.live.gathered.expander import Expander
from ksmtrace.sources.live.identities import Identities
from ksmtrace.sources.live.losses import LossTracker
from ksmtrace.sources.live.merged_before import MergedBefore
from ksmtrace.sources.live.opening import LiveOptions, merged_before_of, plan_of, session_of
from ksmtrace.sources.live.passed_over import PassedOver
from ksmtrace.sources.live.plan import check_choice
from ksmtrace.sources.live.preconditions import check_host
from ksmtrace.sources.live.probe_timer import ProbeTimer
from ksmtrace.sources.live.probe_watch import ProbeWatch
from ksmtrace.sources.live.tunables_reader import TunablesReader

_POLL_SECONDS = 0.03
_LONGEST_WAIT_NS = 2_000_000_000
"""Other tasks' events wait so long for the end of a batch of ksmd, which may be at rest."""
_READINGS_WHILE_BUSY = 3
_READINGS_AT_THE_ENDS = 50
_LONGEST_READING_SECONDS = 10.0
_FEWEST_READINGS = 3

_KNOWN_FOR_GOOD = np.zeros(256, dtype=bool)
_KNOWN_FOR_GOOD[[EventKind.TUNABLE, EventKind.PROCESS, EventKind.PROCESS_TEXT]] = True
"""Kinds of events that nobody sends a second time."""


class LiveSource:
    """Events of the running kernel; made by `open`."""

    def __init__(
        self,
        options: LiveOptions,
        session: Session,
        ksmd_pid: int,
        attachment: Attachment,
        merged_before: MergedBefore,
    ) -> None:
        self.session = session
        self._options = options
        self._ksmd_pid = ksmd_pid
        self._attachment = attachment
        self._merged_before = merged_before
        self._read_before: list[EventBatch] | None = None
        self._known_before: list[Records] = []
        by_functions = any(probe.mechanisms for probe in session.probes.values())
        self._counters = CounterSamples(ksmd_pid, switches=by_functions)
        self._stopping = False
        self._losses = LossTracker()
        self._passed_over = PassedOver(attachment.program)
        self._drained_slots = 0
        self._expander: Expander | None = None
        if attachment.gathers:
            self._expander = Expander(attachment.ask_for_inventory)
        self._identities = Identities()
        self._tunables: TunablesReader | None = None
        if session.probes[EventKind.TUNABLE].exactness is Exactness.SAMPLED:
            self._tunables = TunablesReader(session.tunables)
        self._timer = ProbeTimer(attachment.program, ksmd_pid) if attachment.program else None
        self._counted_before: dict[Outcome, int] = {}
        self._budget = Budget(None if options.totals else options.budget)
        self._totals = attachment if options.totals else None

    @classmethod
    def open(cls, options: LiveOptions) -> LiveSource:
        """Check the host, choose the probes, and attach them.

        Where a step fails, nothing stays attached.

        Raises:
            KsmtraceError: `options` ask for what does not exist.
            HostError: not root, no KSM, no bcc, no BTF, or no probes that fit.
        """
        check_choice(options.probes)
        UNREAD.clear()
        ksmd_pid = check_host(with_probes=options.probes != "sysfs")
        kernel = read_kernel()
        plan = plan_of(options, kernel.build_id)
        attachment = attach(plan, ksmd_pid, options.ring_bytes, mapped=options.mapped)
        try:
            session = session_of(plan, kernel)
            merged_before = merged_before_of(session)
        except BaseException:
            attachment.close()
            raise
        return cls(options, session, ksmd_pid, attachment, merged_before)

    def drop_capabilities(self, also_keep: Collection[str] = ()) -> None:
        """Give up, for good, all capabilities except `also_keep` and those that reading needs.

        Call it before another thread is started: threads have capabilities of their own.

        Raises:
            HostError: the kernel refuses.
        """
        self._read_before = list(self._merged_so_far())
        kept = {"CAP_DAC_READ_SEARCH", *also_keep}
        if self._timer is not None:
            self._timer.hold()
        if self._budget.limit is not None and self._totals is None:
            self._totals = self._attach_totals()
        try:
            if self._attachment.needs_bpf_to_read():
                kept.add("CAP_BPF")
            kept |= self._attachment.needed_for_windows()
            keep_only(kept)
        except OSError as error:
            raise HostError(f"capabilities cannot be dropped: {error}") from error

    def batches(self) -> Iterator[EventBatch]:
        """Events in order.

        What was merged before, a reading of the kernel's counters, events as they come with
        readings in between, a last reading.
        """
        yield from self._merged_so_far() if self._read_before is None else self._read_before
        yield EventBatch(self._reading(_READINGS_AT_THE_ENDS, drop=True))
        self._attachment.start_windows()
        now = time.monotonic()
        end = now + self._options.duration if self._options.duration is not None else None
        due = now + self._options.interval
        watch = ProbeWatch(self._timer, self._budget, now) if self._timer is not None else None
        while not self._stopping and (end is None or now < end):
            events = self._drain()
            yield EventBatch(events)
            now = time.monotonic()
            if watch is not None and len(sample := watch.look(now)):
                yield EventBatch(sample)
                if self._budget.exceeded:
                    watch = None
                    yield EventBatch(self._end_stream())
            if now >= due:
                due = now + self._options.interval
                yield EventBatch(self._reading(_READINGS_WHILE_BUSY))
            elif not self._attachment.is_filling(self._drained_slots):
                time.sleep(_POLL_SECONDS)
                now = time.monotonic()
        if watch is not None:
            yield EventBatch(watch.finish())
        self._attachment.stop_windows()
        yield EventBatch(self._reading(_READINGS_AT_THE_ENDS, at_end=True))

    def _merged_so_far(self) -> Iterator[EventBatch]:
        """What was merged before, while the ring is emptied: reading it may take long."""
        for batch in self._merged_before.batches():
            if self._stopping:
                self._merged_before.cut()
                return
            yield EventBatch(np.concatenate([batch.events, self._identities.follow(batch.events)]))
            events = self._drain()
            self._known_before.append(self._known_for_good(events))

    def _known_for_good(self, events: Records) -> Records:
        """Of events before the first reading, those that hold after it."""
        kept = _KNOWN_FOR_GOOD[events["kind"]] | self._merged_before.exits(events)
        found: Records = events[kept]
        return found

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping = True

    @property
    def warnings(self) -> list[str]:
        """What went wrong on the way without ending the run, one line each."""
        why = self._attachment.why_no_windows()
        unseen = [] if self._ksmd_pid else [f"{why_no_ksmd().found}; its CPU time is not known"]
        windows = [f"no further windows on COW faults: {why}"] if why else []
        return [*unseen, *windows, *self._merged_before.warnings, *UNREAD.lines()]

    def close(self) -> None:
        """Detach all probes; a second time does nothing."""
        if self._timer is not None:
            self._timer.close()
        try:
            self._attachment.close()
        finally:
            if self._totals is not None:
                self._totals.close()

    def _drain(self) -> Records:
        drained = self._attachment.drain()
        self._drained_slots = drained.slots
        events = self._losses.mark(drained.events)
        if self._expander is not None:
            events = self._expander.feed(events, drained.words)
        pieces = [events, self._identities.follow(events), self._attachment.marks()]
        return np.concatenate(pieces) if any(map(len, pieces[1:])) else events

    def _held(self, *, at_end: bool) -> Records:
        """What waits for ksmd's batch to end, and has waited too long; all of it `at_end`."""
        if self._expander is None:
            return empty_records()
        if at_end:
            return self._expander.flush()
        return self._expander.release(time.monotonic_ns() - _LONGEST_WAIT_NS)

    def _ksmd_rest(self) -> int | None:
        """A number for ksmd's sleep under way; None while it works, 0 where that is of no matter.

        ksmd has no event while a batch is under way that will be gathered.
        """
        return read_rest(self._ksmd_pid) if self._expander is not None else 0

    def _attach_totals(self) -> Attachment:
        """What counts where nothing is sent; nothing where the kernel refuses it now."""
        try:
            plan = plan_of(replace(self._options, totals=True, probe_map=None), "")
            return attach(plan, self._ksmd_pid, self._options.ring_bytes)
        except HostError:
            return Attachment()

    def _end_stream(self) -> Records:
        """The last events, and the mark behind them; from now on rare ones are counted.

        Counting begins at a moment at which the ring is empty, so that each is in the stream or in
        a count. With `sleep_millisecs` 0 such a moment may not come.
        """
        stream, totals = self._attachment, self._totals or self._attach_totals()
        stream.stop_windows()
        pieces = []
        for _ in range(_READINGS_AT_THE_ENDS):
            pieces.append(self._drain())
            self._counted_before = totals.totals()
            pieces.append(self._drain())
            if not self._drained_slots:
                break
        pieces.append(self._held(at_end=True))
        self._expander = None
        pieces += [self._losses.settle(stream.lost()), self._passed_over.records()]
        self._passed_over = PassedOver(totals.program)
        end = StreamEnd(
            self._budget.ratio,
            self._budget.limit or 0.0,
            counted=totals.program is not None,
            ts=time.monotonic_ns(),
        )
        self._attachment = self._totals = totals
        self._tunables = TunablesReader(read_tunables())
        self._identities = Identities()
        stream.close()
        return np.concatenate([*pieces, end.to_records()])

    def _reading(self, tries: int, *, drop: bool = False, at_end: bool = False) -> Records:
        """What has arrived, then the kernel's counters.

        Counters read while ksmd works belong to no point of the stream. So the reading is repeated
        until no event arrives during it, and where batches are gathered, until ksmd sleeps through
        it, which soon happens: ksmd sleeps between batches of pages.
        A ksmd that never sleeps (sleep_millisecs 0) is read as it is, and so is one that is ahead
        of us for ten seconds.

        Args:
            tries: how often at most.
            drop: leave out events older than the reading, except writes to tunables and names of
                processes, which nobody sends a second time.
            at_end: read every process's own counts, however fresh the last reading is.
        """
        pieces = [self._drain()]
        counters = Counters({}, {})
        deadline = time.monotonic() + _LONGEST_READING_SECONDS
        for attempt in range(tries):
            if attempt >= _FEWEST_READINGS and time.monotonic() > deadline:
                break
            if attempt:
                time.sleep(0.001 * attempt)
                pieces.append(self._drain())
            rest = self._ksmd_rest()
            counters = self._counters.read()
            pieces.append(self._drain())
            if not self._drained_slots and rest is not None and rest == self._ksmd_rest():
                break
        pieces.append(self._held(at_end=at_end))
        missed = np.concatenate(
            [self._losses.settle(self._attachment.lost()), self._passed_over.records()]
        )
        if lose_any_kind(missed).any() and self._expander is not None:
            self._expander.lose()
        totals = total_records(
            {
                outcome: count - self._counted_before.get(outcome, 0)
                for outcome, count in self._attachment.totals().items()
            }
        )
        if self._tunables is not None:
            pieces.append(self._tunables.changed())
        events = np.concatenate(pieces)
        if drop:
            known = self._known_for_good(events)
            samples = self._counters.records(counters)
            known_before, self._known_before = self._known_before, []
            shares = self._identities.sample()
            return np.concatenate([totals, shares, samples, *known_before, known])
        shares = self._identities.sample(at_end=at_end)
        return np.concatenate([events, missed, shares, totals, self._counters.records(counters)])
