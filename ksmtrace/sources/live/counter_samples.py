"""The kernel's counters as SAMPLE records: what cannot be read keeps its last value, marked so."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np

from ksmtrace.events.kinds import EventKind, Flag, Gauge
from ksmtrace.events.record import Records, empty_records
from ksmtrace.events.switches import SWITCHES
from ksmtrace.kernel.switches import read_switch
from ksmtrace.kernel.sysfs import ROOT, CounterReader, Counters


class CounterSamples:
    """The counters, and what each was when it was read last.

    Args:
        ksmd_pid: whose CPU time is one of them; 0 for nobody's.
        root: where /sys and /proc are.
        switches: whether the switches are read by which probes may be silent.
    """

    def __init__(self, ksmd_pid: int, root: Path = ROOT, *, switches: bool = False) -> None:
        asked = {gauge: partial(read_switch, gauge, root) for gauge in SWITCHES if switches}
        self._reader = CounterReader(root, ksmd_pid or None, asked)
        self._last: dict[Gauge, int] = {}

    def read(self) -> Counters:
        """The counters now."""
        return self._reader.read()

    def records(self, counters: Counters, *, behind: bool = False) -> Records:
        """One reading as records, none where this kernel has no counters.

        Args:
            counters: what was read.
            behind: whether older events are still to come.
        """
        self._last |= counters.values
        gauges = sorted(counters.values.keys() | counters.failed.keys())
        records = empty_records(len(gauges))
        records["kind"] = EventKind.SAMPLE
        records["ts"] = time.monotonic_ns()
        records["address"] = gauges
        records["err"] = [-counters.failed.get(gauge, 0) for gauge in gauges]
        values = [self._last.get(gauge, 0) for gauge in gauges]
        records["aux"] = np.array(values, dtype="<i8").view("<u8")
        if len(records):
            records["flags"][-1] = Flag.LAST_OF_SAMPLE | (Flag.BEHIND if behind else 0)
        return records
