"""The live source: drains the ring, reads the kernel's counters between batches, and ends cleanly."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ksmtrace.errors import HostError
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag, Gauge
from ksmtrace.events.record import Records, empty_records
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.capabilities import keep_only
from ksmtrace.kernel.host import find_ksmd, import_bcc, read_kernel
from ksmtrace.kernel.pagemap import ksm_page_file, read_ksm_pages
from ksmtrace.kernel.sysfs import ROOT, has_ksm, read_counters, read_tunables
from ksmtrace.probemap.format import ProbeMap
from ksmtrace.session import Exactness, Probe, Session
from ksmtrace.sources.live.capabilities import Capabilities
from ksmtrace.sources.live.identities import Identities
from ksmtrace.sources.live.inlined import with_probe_map
from ksmtrace.sources.live.losses import LossTracker
from ksmtrace.sources.live.plan import Plan, check_choice, counters_only, make_plan
from ksmtrace.sources.live.probe_spec import ProbeTable
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.program import RING_BYTES, Program
from ksmtrace.sources.live.ring import RingReader, open_ring
from ksmtrace.sources.live.tunables_reader import TunablesReader

_POLL_SECONDS = 0.03
_READINGS_WHILE_BUSY = 3
_READINGS_AT_THE_ENDS = 50
_SNAPSHOT_BATCH = 65536

_KNOWN_FOR_GOOD = np.zeros(256, dtype=bool)
_KNOWN_FOR_GOOD[[EventKind.TUNABLE, EventKind.PROCESS, EventKind.PROCESS_TEXT]] = True
"""What would not be said a second time."""


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """How to trace.

    Attributes:
        duration: seconds, or None for as long as nobody stops it.
        interval: seconds between two readings of the kernel's counters.
        probes: a key of `plan.CHOICES`.
        probe_map: where the inlined functions of this very build are, or None.
        mapped: read the ring mapped (True), by callback (False), or as the machine allows (None).
        hidden: functions, tracepoints and symbols to trace without, as if the kernel lacked them.
    """

    duration: float | None = None
    interval: float = 1.0
    probes: str = "auto"
    probe_map: ProbeMap | None = None
    ring_bytes: int = RING_BYTES
    mapped: bool | None = None
    hidden: frozenset[str] = frozenset()


class LiveSource:
    """Events of the running kernel.

    Raises:
        HostError: not root, no KSM, no bcc, no BTF, or no probes that fit.
    """

    def __init__(self, options: LiveOptions) -> None:
        self._options = options
        self._stopping = False
        self._closed = False
        self._losses = LossTracker()
        self._identities = Identities()
        check_choice(options.probes)
        check_host(with_probes=options.probes != "sysfs")
        self._ksmd = find_ksmd()
        if self._ksmd is None:
            raise HostError("the kernel thread ksmd is not running: this kernel has no KSM")
        kernel = read_kernel()
        plan = _plan(options, kernel.build_id)
        self._program: Program | None = None
        self._snapshot: list[EventBatch] = []
        self._ring: RingReader | None = None
        if plan.placements:
            self._program = Program(plan, self._ksmd, options.ring_bytes)
            self._ring = open_ring(self._program, options.ring_bytes, mapped=options.mapped)
        self.session = Session(
            source="live",
            kernel=kernel,
            tier=plan.tier,
            probes={
                **plan.probes,
                EventKind.SNAPSHOT: _snapshot_probe(),
                **_identity_probes(plan.probes[EventKind.PROCESS]),
            },
            tunables=read_tunables(),
            monotonic_ns=time.monotonic_ns(),
            realtime_ns=time.time_ns(),
            capture_id=os.urandom(8).hex(),
        )
        self._tunables: TunablesReader | None = None
        if self.session.probes[EventKind.TUNABLE].exactness is Exactness.SAMPLED:
            self._tunables = TunablesReader(self.session.tunables)

        if self.session.sees(EventKind.SNAPSHOT) and read_counters().get(Gauge.PAGES_SHARED):
            self._snapshot = list(_snapshot())

    def drop_capabilities(self, also_keep: Collection[str] = ()) -> None:
        """Give up all capabilities but what reading goes on to need, and `also_keep`; for good.

        Call it before another thread is started: threads have capabilities of their own.

        Raises:
            HostError: the kernel refuses.
        """
        kept = {"CAP_DAC_READ_SEARCH", *also_keep}
        try:
            if self._program is not None and self._program.needs_bpf_to_read():
                kept.add("CAP_BPF")
            keep_only(kept)
        except OSError as error:
            raise HostError(f"capabilities cannot be dropped: {error}") from error

    def batches(self) -> Iterator[EventBatch]:
        """What was merged before, a reading of the kernel's counters, events as they come, a last reading."""
        while self._snapshot:
            yield self._snapshot.pop(0)
        yield EventBatch(self._reading(_READINGS_AT_THE_ENDS, drop=True))
        now = time.monotonic()
        end = now + self._options.duration if self._options.duration is not None else None
        due = now + self._options.interval
        while not self._stopping and (end is None or now < end):
            events = self._drain()
            yield EventBatch(events)
            now = time.monotonic()
            if now >= due:
                due = now + self._options.interval
                yield EventBatch(self._reading(_READINGS_WHILE_BUSY))
            elif self._ring is None or len(events) < self._ring.capacity // 4:
                time.sleep(_POLL_SECONDS)
                now = time.monotonic()
        yield EventBatch(self._reading(_READINGS_AT_THE_ENDS, at_end=True))

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping = True

    def close(self) -> None:
        """Detach all probes."""
        if not self._closed:
            self._closed = True
            if self._ring is not None:
                self._ring.close()
            if self._program is not None:
                self._program.close()

    def _drain(self) -> Records:
        if self._ring is None:
            return empty_records()
        events = self._losses.mark(self._ring.drain())
        texts = self._identities.follow(events)
        return np.concatenate([events, texts]) if len(texts) else events

    def _reading(self, tries: int, *, drop: bool = False, at_end: bool = False) -> Records:
        """What has arrived, then the kernel's counters; `drop` leaves out events older than the reading.

        Writes to tunables and names are never left out: nobody would say them again.

        Counters read while ksmd works belong to no point of the stream. So the reading is repeated until no event
        arrives during it, which it soon does: ksmd sleeps between batches of pages. A ksmd that never sleeps
        (sleep_millisecs 0) is read as it is.
        """
        pieces = [self._drain()]
        counters: dict[Gauge, int] = {}
        for attempt in range(tries):
            if attempt:
                time.sleep(0.001 * attempt)
                pieces.append(self._drain())
            counters = read_counters(ksmd_pid=self._ksmd)
            meanwhile = self._drain()
            pieces.append(meanwhile)
            if not len(meanwhile):
                break
        missed = self._losses.settle(self._program.lost() if self._program is not None else 0)
        if self._tunables is not None:
            pieces.append(self._tunables.changed())
        events = np.concatenate(pieces)
        if drop:
            known = events[_KNOWN_FOR_GOOD[events["kind"]]]
            return np.concatenate([_samples(counters), known])
        shares = self._identities.sample(at_end=at_end)
        return np.concatenate([events, missed, shares, _samples(counters)])


def check_host(root: Path = ROOT, *, with_probes: bool = True) -> None:
    """Whether this host can be traced at all, or, without probes, has anything to read.

    Raises:
        HostError: the first thing that is missing, with the remedy.
    """
    if not has_ksm(root):
        raise HostError(
            "this kernel has no KSM (/sys/kernel/mm/ksm is missing): it needs CONFIG_KSM=y"
        )
    if not with_probes:
        return
    if os.geteuid() != 0:
        raise HostError("tracing needs root: run it with sudo")
    import_bcc()


def _snapshot_probe() -> Probe:
    try:
        via = ksm_page_file()
    except OSError as error:
        return Probe("", Exactness.ABSENT, f"page frames cannot be read here: {error}")
    if via == "kpageflags":
        return Probe(
            "/proc/<pid>/pagemap, /proc/kpageflags",
            Exactness.SAMPLED,
            "pages change while they are read; what was written to since the last pass is in the gauges still",
        )
    return Probe(
        "/proc/<pid>/pagemap, /proc/kpagecount",
        Exactness.SAMPLED,
        "KPF_KSM lies on this kernel: frames mapped more than once are taken for KSM pages",
    )


def _identity_probes(named: Probe) -> dict[EventKind, Probe]:
    if named.exactness is Exactness.ABSENT:
        gone = Probe("", Exactness.ABSENT, "processes are not named here")
        return {EventKind.PROCESS_TEXT: gone, EventKind.PROCESS_SAMPLE: gone}
    return {
        EventKind.PROCESS_TEXT: Probe(
            "/proc/<pid>/cgroup, cmdline",
            Exactness.SAMPLED,
            "not known of a process that is gone when its name arrives",
        ),
        EventKind.PROCESS_SAMPLE: Probe(
            "/proc/<pid>/ksm_stat", Exactness.SAMPLED, "read now and then"
        ),
    }


def _snapshot() -> Iterator[EventBatch]:
    pages = read_ksm_pages()
    for first in range(0, len(pages.pid), _SNAPSHOT_BATCH):
        part = slice(first, first + _SNAPSHOT_BATCH)
        records = empty_records(len(pages.pid[part]))
        records["kind"] = EventKind.SNAPSHOT
        records["ts"] = time.monotonic_ns()
        records["address"] = pages.address[part]
        records["pfn"] = pages.pfn[part]
        records["aux"] = pages.pid[part]
        yield EventBatch(records)


def _plan(options: LiveOptions, build_id: str) -> Plan:
    if options.probes == "sysfs":
        return counters_only()
    table: ProbeTable = PROBES
    if options.probe_map is not None:
        options.probe_map.check(build_id)
        table = with_probe_map(options.probe_map)
    btf = Btf()
    try:
        specs = [spec for candidates in table.values() for spec in candidates]
        return make_plan(Capabilities(btf, specs, hidden=options.hidden), options.probes, table)
    finally:
        btf.close()


def _samples(counters: dict[Gauge, int]) -> Records:
    records = empty_records(len(counters))
    records["kind"] = EventKind.SAMPLE
    records["ts"] = time.monotonic_ns()
    records["address"] = list(counters)
    records["aux"] = np.array(list(counters.values()), dtype="<i8").view("<u8")
    if len(records):
        records["flags"][-1] = Flag.LAST_OF_SAMPLE
    return records
