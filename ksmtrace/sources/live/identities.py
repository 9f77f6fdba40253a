"""Names of the processes that ksmd visits, and what the kernel counts for each, as events."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ksmtrace.events.kinds import EventKind, ProcessText
from ksmtrace.events.record import Records, empty_records
from ksmtrace.kernel.processes import read_cgroup, read_ksm_stat, read_vm
from ksmtrace.kernel.sysfs import ROOT
from ksmtrace.model.processes import text_records
from ksmtrace.session import Exactness, Probe

_MOST_SHARE = 0.05
"""Share of the time that may go into reading /proc: thousands of processes are read less often."""


def identity_probes(owner: Probe) -> dict[EventKind, Probe]:
    """How names and counts of processes are read, where `owner` is how PROCESS events are seen."""
    if owner.exactness is Exactness.ABSENT:
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


class Identities:
    """The processes met so far: by mm, the pid."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._pids: dict[int, int] = {}
        self._not_before = 0.0

    def follow(self, events: Records) -> Records:
        """PROCESS_TEXT records for processes that `events` name for the first time."""
        pieces = []
        concerned = (events["kind"] == EventKind.PROCESS) | (events["kind"] == EventKind.MM_EXIT)
        for event in events[concerned]:
            mm, pid = int(event["mm"]), int(event["aux"])
            if event["kind"] == EventKind.MM_EXIT:
                self._pids.pop(mm, None)
            elif self._pids.get(mm) != pid:
                self._pids[mm] = pid
                pieces += self._texts(mm, pid)
        return np.concatenate(pieces) if pieces else empty_records()

    def sample(self, *, at_end: bool = False) -> Records:
        """PROCESS_SAMPLE records of all processes met that are alive.

        None while the last reading is fresh, except `at_end`.
        """
        began = time.monotonic()
        if began < self._not_before and not at_end:
            return empty_records()
        rows = []
        for mm, pid in list(self._pids.items()):
            found = read_ksm_stat(pid, self._root)
            rows += [(mm, int(gauge), value, pid) for gauge, value in found.items()]
        self._not_before = time.monotonic() + (time.monotonic() - began) / _MOST_SHARE
        records = empty_records(len(rows))
        if rows:
            mms, gauges, values, pids = zip(*rows, strict=True)
            records["kind"] = EventKind.PROCESS_SAMPLE
            records["ts"] = time.monotonic_ns()
            records["mm"], records["address"], records["pfn"] = mms, gauges, pids
            records["aux"] = np.array(values, dtype="<i8").view("<u8")
        return records

    def _texts(self, mm: int, pid: int) -> list[Records]:
        read = {
            ProcessText.CGROUP: read_cgroup(pid, self._root),
            ProcessText.VM: read_vm(pid, self._root),
        }
        pieces = [text_records(mm, which, text) for which, text in read.items() if text]
        for piece in pieces:
            piece["ts"] = time.monotonic_ns()
        return pieces
