"""Finds probes that are attached and do not fire, by the kernel's own switches and counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.events.switches import SWITCHES
from ksmtrace.events.totals import Totals
from ksmtrace.session import Exactness, Session

_MERGED = (Gauge.PAGES_SHARED, Gauge.PAGES_SHARING)

COUNTED_BY: Mapping[EventKind, tuple[Gauge, ...]] = {
    EventKind.CMP_AND_MERGE_PAGE: (Gauge.PAGES_SCANNED,),
    EventKind.SKIPPED: (Gauge.PAGES_SKIPPED,),
    EventKind.COW_FAULT: (Gauge.COW_KSM,),
    EventKind.SCAN_START: (Gauge.FULL_SCANS,),
    EventKind.SCAN_STOP: (Gauge.FULL_SCANS,),
    EventKind.TRY_TO_MERGE_ONE_PAGE: _MERGED,
    EventKind.STABLE_APPEND: _MERGED,
}
"""Counters of the kernel whose sum grows with each event of a kind, or with some of them, and with
nothing else."""

_BY_BATCHES = (EventKind.CMP_AND_MERGE_PAGE, EventKind.SKIPPED)
"""Kinds whose events may all come as a batch of ksmd ends: none of it lasts beyond its pass."""

_LEAST_NS = 5_000_000_000
"""So long a counter must have grown without an event: others wait for that end, though not long."""

_PASSES = (EventKind.SCAN_START, EventKind.SCAN_STOP)
_LEAST_GROWTHS = 2
"""And in so many intervals."""


@dataclass(slots=True)
class Silence:
    """Events of one kind that did not come.

    Attributes:
        since_ns: CLOCK_MONOTONIC of the reading up to which they came.
        reason: why it is known.
        missed: so many the kernel counted meanwhile at least; 0 where no counter tells.
        last_ns: CLOCK_MONOTONIC of the last reading at which that was so.
        over: whether they have come again since.
    """

    since_ns: int
    reason: str
    missed: int = 0
    last_ns: int = 0
    over: bool = False


@dataclass(slots=True)
class _Quiet:
    """A kind since its last event."""

    value: int | None = None
    passes: int = 0
    since_ns: int = 0
    growths: int = 0
    last: int | None = None


class SilenceWatch:
    """Holds the kinds of events of a run against switches and counters, at each reading.

    A kind without a counter of its own is silent with those that have one, where all of these that
    are attached the same way are.

    Attributes:
        found: by kind, its silence, the last where it had several.
        missed: events that the kernel counted in all silences, and that did not come.
    """

    def __init__(self, session: Session) -> None:
        self.found: dict[EventKind, Silence] = {}
        self.missed = 0
        self._session = session
        self._ways = {
            kind: probe.mechanisms
            for kind, probe in session.probes.items()
            if session.counts(kind) and not (session.only_pids or probe.by_windows)
        }
        self._quiet = {
            kind: _Quiet()
            for kind in COUNTED_BY
            # a pass that comes to no page is seen by its end alone, not by ksmd's cursor
            if kind in self._ways
            and (kind not in _PASSES or session.probes[kind].exactness is Exactness.EXACT)
        }
        self._by_kind = np.zeros(256, dtype=np.int64)
        self._totals = Totals()
        self._before = np.zeros(256, dtype=np.int64)
        self._ended = False

    @property
    def silent(self) -> dict[EventKind, str]:
        """Kinds whose events do not come now, and why."""
        return {kind: one.reason for kind, one in self.found.items() if not one.over}

    @property
    def never_seen(self) -> dict[EventKind, str]:
        """Those of them of which this run has no event at all."""
        counts = self._by_kind + self._totals.by_kind
        return {kind: reason for kind, reason in self.silent.items() if not counts[kind]}

    def apply(self, batch: EventBatch) -> None:
        """Count the events of a batch."""
        self._by_kind += batch.by_kind
        self._totals.apply(batch)
        self._ended |= batch.count(EventKind.STREAM_END) > 0
        if batch.lost:
            self._quiet = {kind: _Quiet() for kind in self._quiet}

    def read(self, reading: Reading) -> bool:
        """Look at a reading of the counters; returns whether events are found missing at it.

        One that events are behind tells nothing of them.
        """
        if reading.at_scan_stop or reading.behind or self._ended:
            return False
        counts = self._by_kind + self._totals.by_kind
        came = counts - self._before
        self._before = counts
        for kind in self._ways:
            if came[kind] and kind in self.found:
                self.found[kind].over = True
        missed = self.missed
        off = self._switched_off(reading)
        for kind, quiet in self._quiet.items():
            self._follow(kind, quiet, reading, came=bool(came[kind]))
        for kind in off:
            self._note(kind, off[kind], reading.ns, reading.ns)
        self._follow_others(reading.ns, came)
        return bool(off) or self.missed > missed

    def _switched_off(self, reading: Reading) -> dict[EventKind, str]:
        off = {}
        for gauge, switch in SWITCHES.items():
            if reading.values.get(gauge) == 0:
                for kind, ways in self._ways.items():
                    if ways and ways <= set(switch.mechanisms):
                        off[kind] = switch.sentence
        return off

    def _follow(self, kind: EventKind, quiet: _Quiet, reading: Reading, *, came: bool) -> None:
        gauges = COUNTED_BY[kind]
        if not all(gauge in reading.values for gauge in gauges):
            return
        now = sum(reading.values[gauge] for gauge in gauges)
        if came or quiet.last is None or now < quiet.last:
            quiet.value, quiet.since_ns, quiet.growths = now, reading.ns, 0
            quiet.passes = reading.values.get(Gauge.FULL_SCANS, 0)
        elif now > quiet.last:
            quiet.growths += 1
            last = self.found.get(kind)
            known = last is not None and not last.over
            long = reading.ns - quiet.since_ns >= _LEAST_NS and quiet.growths >= _LEAST_GROWTHS
            if kind in _BY_BATCHES:
                long &= reading.values.get(Gauge.FULL_SCANS, 0) > quiet.passes
            if known or long:
                assert quiet.value is not None, "there was a reading before"
                grown = now - quiet.value
                names = " + ".join(gauge.name.lower() for gauge in gauges)
                reason = f"attached, and silent: the kernel's {names} grew, and no event came"
                one = self._note(kind, reason, quiet.since_ns, reading.ns)
                one.missed += grown
                self.missed += grown
                quiet.value = now
        quiet.last = now

    def _follow_others(self, ns: int, came: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Kinds that no counter counts, by those that are attached the same way."""
        dead: dict[str, list[EventKind]] = {}
        for way in ("kprobe", "fentry"):
            alike = [kind for kind in self._quiet if way in self._ways[kind]]
            silent = [kind for kind in alike if kind in self.silent]
            heard = any(came[kind] for kind, ways in self._ways.items() if way in ways)
            if silent and not heard and all(self._quiet[kind].growths for kind in silent):
                dead[way] = silent
        for kind, ways in self._ways.items():
            if ways and ways <= dead.keys() and kind not in self._quiet:
                alike = list(dict.fromkeys(one for way in sorted(ways) for one in dead[way]))
                others = ", ".join(one.name.lower() for one in alike)
                self._note(kind, f"attached as {others}, which are silent", ns, ns)

    def _note(self, kind: EventKind, reason: str, since_ns: int, ns: int) -> Silence:
        one = self.found.get(kind)
        if one is None or one.over:
            one = self.found[kind] = Silence(since_ns, reason)
        one.last_ns = ns
        return one

    def to_json(self) -> dict[str, dict[str, float | int | str | bool]]:
        """Each silence by the kind's name: when, why, how many events, whether it is over."""
        begun = self._session.monotonic_ns
        return {
            kind.name.lower(): {
                "from_seconds": round((one.since_ns - begun) / 1e9, 3),
                "until_seconds": round((one.last_ns - begun) / 1e9, 3),
                "over": one.over,
                "missed": one.missed,
                "reason": one.reason,
            }
            for kind, one in sorted(self.found.items())
        }
