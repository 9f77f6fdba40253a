"""What a live run is asked for, and what is settled before it begins: its probes and its facts."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass

from ksmtrace.events.kinds import EventKind, Gauge
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.sysfs import read_counters, read_tunables
from ksmtrace.probemap.format import ProbeMap
from ksmtrace.session import Exactness, Kernel, Probe, Session
from ksmtrace.sources.live.capabilities import Capabilities
from ksmtrace.sources.live.fault_probes import with_windows, without_faults
from ksmtrace.sources.live.identities import identity_probes
from ksmtrace.sources.live.inlined import with_probe_map
from ksmtrace.sources.live.merged_before import MergedBefore, snapshot_probe
from ksmtrace.sources.live.plan import CHOICES, Plan, counters_only, make_plan, make_totals_plan
from ksmtrace.sources.live.probe_spec import ProbeTable
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.program import RING_BYTES
from ksmtrace.sources.live.reader import GIVE_UP_SECONDS

_NOT_LOOKED_FOR = Probe("", Exactness.ABSENT, "not looked for when only totals are counted")


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
        cow: the share of the time for which the probes on COW faults are attached, by windows; 1
            for always, 0 for never.
        dropping: whether `drop_capabilities` will be called. Windows are then by fentry where that
            is to be had: CAP_BPF and CAP_PERFMON are enough for it, where kprobes take
            CAP_SYS_ADMIN if perf_event_paranoid is 3, Debian's default.
        totals: count rare events in the kernel, and take in no stream.
        budget: share of ksmd's CPU time above which the stream ends and totals go on; None for no
            limit.
        give_up: seconds after the end of the run within which what has arrived by then is read;
            the rest is given up, and counted as lost.
    """

    duration: float | None = None
    interval: float = 1.0
    probes: str = "auto"
    probe_map: ProbeMap | None = None
    ring_bytes: int = RING_BYTES
    mapped: bool | None = None
    hidden: frozenset[str] = frozenset()
    cow: float = 1.0
    dropping: bool = False
    totals: bool = False
    budget: float | None = None
    give_up: float = GIVE_UP_SECONDS


def plan_of(options: LiveOptions, build_id: str) -> Plan:
    """The probes that `options` ask for, as far as this kernel, of that build, has them.

    Raises:
        KsmtraceError: the probe map is of another build.
        HostError: no BTF, or no probes that fit.
    """
    if options.probes == "sysfs":
        return counters_only()
    table: ProbeTable = PROBES
    if options.probe_map is not None:
        options.probe_map.check(build_id)
        table = with_probe_map(options.probe_map)
    if not options.cow:
        table = without_faults(table)
    btf = Btf()
    try:
        specs = [spec for candidates in table.values() for spec in candidates]
        kernel = Capabilities(btf, specs, hidden=options.hidden)
        if options.totals:
            return make_totals_plan(kernel, options.probes)
        plan = make_plan(kernel, options.probes, table)
        if 0 < options.cow < 1:
            narrow = options.dropping and "fentry" in CHOICES[options.probes]
            plan = with_windows(plan, kernel, options.cow, "fentry" if narrow else "")
        return plan
    finally:
        btf.close()


def session_of(plan: Plan, kernel: Kernel) -> Session:
    """The facts of a run that begins now."""
    snapshot = _NOT_LOOKED_FOR if plan.totals else snapshot_probe()
    return Session(
        source="live",
        kernel=kernel,
        tier=plan.tier,
        probes={
            **plan.probes,
            EventKind.SNAPSHOT: snapshot,
            **identity_probes(plan.probes[EventKind.PROCESS]),
        },
        tunables=read_tunables(),
        monotonic_ns=time.monotonic_ns(),
        realtime_ns=time.time_ns(),
        capture_id=os.urandom(8).hex(),
        host=platform.node(),
    )


def merged_before_of(session: Session) -> MergedBefore:
    """What KSM has merged already, where that can be seen; none where the kernel counts none."""
    seen = session.sees(EventKind.SNAPSHOT) and read_counters().get(Gauge.PAGES_SHARED) != 0
    return MergedBefore(seen=seen, named=session.sees(EventKind.PROCESS))
