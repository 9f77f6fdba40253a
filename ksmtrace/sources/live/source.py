"""The live source: events out of the ring, with readings of the kernel's counters in between."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import replace

from ksmtrace.errors import HostError
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.events.probe_time import StreamEnd
from ksmtrace.events.record import Records, empty_records, joined
from ksmtrace.kernel.capabilities import keep_only
from ksmtrace.kernel.files import UNREAD
from ksmtrace.kernel.host import read_kernel
from ksmtrace.kernel.presence import why_no_ksmd
from ksmtrace.kernel.sysfs import read_tunables
from ksmtrace.session import Exactness, Session
from ksmtrace.sources.live.attachment import Attachment, attach
from ksmtrace.sources.live.budget import Budget
from ksmtrace.sources.live.counter_samples import CounterSamples
from ksmtrace.sources.live.merged_before import MergedBefore
from ksmtrace.sources.live.opening import LiveOptions, merged_before_of, plan_of, session_of
from ksmtrace.sources.live.plan import check_choice
from ksmtrace.sources.live.preconditions import check_host
from ksmtrace.sources.live.probe_timer import ProbeTimer
from ksmtrace.sources.live.probe_watch import ProbeWatch
from ksmtrace.sources.live.reader import GIVE_UP_SECONDS, Reader
from ksmtrace.sources.live.tunables_reader import TunablesReader

_POLL_SECONDS = 0.03
_MERGED_BEFORE_SECONDS = 0.5
"""So long the ring is emptied at most before more of what was merged before is read."""


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
        self._stopping = False
        by_functions = any(probe.mechanisms for probe in session.probes.values())
        self._counters = CounterSamples(ksmd_pid, switches=by_functions)
        tunables: TunablesReader | None = None
        if session.probes[EventKind.TUNABLE].exactness is Exactness.SAMPLED:
            tunables = TunablesReader(session.tunables)
        self._reader = Reader(
            ksmd_pid,
            attachment,
            self._counters,
            merged_before.exits,
            tunables,
            give_up=options.give_up,
        )
        self._timer = ProbeTimer(attachment.program, ksmd_pid) if attachment.program else None
        self._budget = Budget(None if options.totals else options.budget)
        self._totals = attachment if options.totals else None
        self._unread: list[str] = []

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
            if "CAP_SYS_ADMIN" in kept:
                kept -= {"CAP_BPF", "CAP_PERFMON"}  # it includes them
            keep_only(kept)
        except OSError as error:
            raise HostError(f"capabilities cannot be dropped: {error}") from error

    def batches(self) -> Iterator[EventBatch]:
        """Events in order, few at a time, so that what is due gets its turn between two batches.

        What was merged before, a reading of the kernel's counters, events as they come with
        readings in between, a last reading. Events that still wait in the ring when time is up
        after the end are counted as lost.
        """
        yield from self._merged_so_far() if self._read_before is None else self._read_before
        yield EventBatch(self._reader.first_reading(self._is_stopping))
        self._attachment.start_windows()
        now = time.monotonic()
        end = now + self._options.duration if self._options.duration is not None else None
        due = now + self._options.interval
        watch = ProbeWatch(self._timer, self._budget, now) if self._timer is not None else None
        while not self._stopping and (end is None or now < end):
            yield EventBatch(self._reader.take())
            now = time.monotonic()
            if watch is not None and len(sample := watch.look(now)):
                yield EventBatch(sample)
                if self._budget.exceeded:
                    watch = None
                    yield from map(EventBatch, self._end_stream())
            if now >= due:
                due = now + self._options.interval
                yield from map(EventBatch, self._reader.reading(self._is_stopping))
            elif not self._reader.stream.filling:
                self._reader.stream.pause(_POLL_SECONDS)
            now = time.monotonic()
        if watch is not None:
            yield EventBatch(watch.finish())
        self._attachment.stop_windows()
        yield from map(EventBatch, self._reader.last_reading())

    def _merged_so_far(self) -> Iterator[EventBatch]:
        """What was merged before, while the ring is emptied: reading it may take long."""
        for batch in self._merged_before.batches():
            if self._stopping:
                self._merged_before.cut()
                return
            yield EventBatch(joined([batch.events, self._reader.names_of(batch.events)]))
            self._reader.pass_over(until=time.monotonic() + _MERGED_BEFORE_SECONDS)

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping = True

    def _is_stopping(self) -> bool:
        return self._stopping

    @property
    def warnings(self) -> list[str]:
        """What went wrong on the way without ending the run, one line each."""
        why = self._attachment.why_no_windows()
        unseen = [] if self._ksmd_pid else [f"{why_no_ksmd().found}; its CPU time is not known"]
        windows = [f"no further windows on COW faults: {why}"] if why else []
        unread = [*self._unread, *self._reader.warnings]
        return [*unseen, *windows, *unread, *self._merged_before.warnings, *UNREAD.lines()]

    def close(self) -> None:
        """Detach all probes; a second time does nothing."""
        if self._timer is not None:
            self._timer.close()
        try:
            self._attachment.close()
        finally:
            if self._totals is not None:
                self._totals.close()

    def _attach_totals(self) -> Attachment:
        """What counts where nothing is sent; nothing where the kernel refuses it now."""
        try:
            plan = plan_of(replace(self._options, totals=True, probe_map=None), "")
            return attach(plan, self._ksmd_pid, self._options.ring_bytes)
        except HostError:
            return Attachment()

    def _end_stream(self) -> Iterator[Records]:
        """The last events, and the mark behind them; from now on rare ones are counted.

        Counting begins at a moment at which the ring is empty, so that each is in the stream or in
        a count. With `sleep_millisecs` 0 such a moment may not come.
        """
        ended, reader, totals = self._attachment, self._reader, self._totals
        totals = totals or self._attach_totals()
        ended.stop_windows()
        until = time.monotonic() + GIVE_UP_SECONDS
        taken = []
        while True:
            # handed on behind that moment: to hand on takes longer than to take
            for events in reader.caught_up(until):
                taken.append(events)
                yield empty_records()
            counted = totals.totals()
            taken.append(reader.take())
            if reader.stream.quiet or self._stopping or time.monotonic() > until:
                break
        yield from taken
        yield from reader.rest()
        self._unread = reader.warnings
        end = StreamEnd(
            self._budget.ratio,
            self._budget.limit or 0.0,
            counted=totals.program is not None,
            ts=time.monotonic_ns(),
        )
        self._attachment = self._totals = totals
        tunables = TunablesReader(read_tunables())
        self._reader = Reader(
            self._ksmd_pid,
            totals,
            self._counters,
            self._merged_before.exits,
            tunables,
            counted,
            self._options.give_up,
        )
        ended.close()
        yield end.to_records()
