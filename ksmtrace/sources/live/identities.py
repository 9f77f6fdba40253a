"""Names of the processes that ksmd visits, and what the kernel counts for each, as events."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ksmtrace.events.kinds import EventKind, ProcessText
from ksmtrace.events.record import Records, empty_records, picked
from ksmtrace.kernel.processes import read_cgroup, read_ksm_stat, read_start, read_vm
from ksmtrace.kernel.sysfs import ROOT
from ksmtrace.model.processes import text_records
from ksmtrace.session import Exactness, Probe

_MOST_SHARE = 0.05
"""Share of the time that may go into reading /proc: thousands of processes are read less often."""
_TOGETHER = 64
"""So many processes are read before others get their turn: some milliseconds."""


def identity_probes(owner: Probe) -> dict[EventKind, Probe]:
    """How names and counts of processes are read, where `owner` is how PROCESS events are seen."""
    if owner.exactness is Exactness.ABSENT:
        gone = Probe("", Exactness.ABSENT, "processes are not named here")
        return {EventKind.PROCESS_TEXT: gone, EventKind.PROCESS_SAMPLE: gone}
    return {
        EventKind.PROCESS_TEXT: Probe(
            "/proc/<pid>/cgroup, cmdline",
            Exactness.SAMPLED,
            "not known of a process that is gone when its name arrives; read again now and then",
        ),
        EventKind.PROCESS_SAMPLE: Probe(
            "/proc/<pid>/ksm_stat", Exactness.SAMPLED, "read now and then"
        ),
    }


@dataclass(slots=True)
class _Met:
    """A process met: its pid and when it began, which name it, and what was told of it."""

    pid: int
    start: int | None
    told: dict[ProcessText, str] = field(default_factory=dict)
    guest: str = ""


class Identities:
    """The processes met so far, by mm."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._met: dict[int, _Met] = {}
        self._guests: dict[str, int] = {}
        self._not_before = 0.0

    def follow(self, events: Records) -> Records:
        """PROCESS_TEXT records for processes that `events` name for the first time."""
        pieces = []
        concerned = (events["kind"] == EventKind.PROCESS) | (events["kind"] == EventKind.MM_EXIT)
        for event in picked(events, concerned):
            mm, pid = int(event["mm"]), int(event["aux"])
            if event["kind"] == EventKind.MM_EXIT:
                self._forget(mm)
            elif mm not in self._met or self._met[mm].pid != pid:
                self._forget(mm)
                one = self._met[mm] = _Met(pid, read_start(pid, self._root))
                pieces += self._texts(mm, one)
        return np.concatenate(pieces) if pieces else empty_records()

    def sample(self, *, at_end: bool = False) -> Iterator[Records]:
        """PROCESS_SAMPLE records of all processes met that are alive, those of a few at a time.

        Before them, PROCESS_TEXT records of those that have moved to another cgroup or have a new
        name since. None while the last reading is fresh, except `at_end`. Whoever does not ask for
        all leaves the rest as it was read before.
        """
        if time.monotonic() < self._not_before and not at_end:
            return
        met, seconds = list(self._met.items()), 0.0
        for first in range(0, len(met), _TOGETHER):
            began = time.monotonic()
            records = self._samples(met[first : first + _TOGETHER])
            ended = time.monotonic()
            seconds += ended - began
            self._not_before = ended + seconds / _MOST_SHARE
            yield records

    def _samples(self, met: list[tuple[int, _Met]]) -> Records:
        rows, texts = [], []
        for mm, one in met:
            found = read_ksm_stat(one.pid, self._root)
            rows += [(mm, int(gauge), value, one.pid) for gauge, value in found.items()]
            texts += self._texts(mm, one)
        records = empty_records(len(rows))
        if rows:
            mms, gauges, values, pids = zip(*rows, strict=True)
            records["kind"] = EventKind.PROCESS_SAMPLE
            records["ts"] = time.monotonic_ns()
            records["mm"], records["address"], records["pfn"] = mms, gauges, pids
            records["aux"] = np.array(values, dtype="<i8").view("<u8")
        return np.concatenate([*texts, records]) if texts else records

    def _forget(self, mm: int) -> None:
        one = self._met.pop(mm, None)
        if one is not None and self._guests.get(one.guest) == mm:
            del self._guests[one.guest]

    def _texts(self, mm: int, one: _Met) -> list[Records]:
        """What is new of a process; nothing where its pid is another process's by now."""
        cgroup = read_cgroup(one.pid, self._root)
        read = {
            ProcessText.CGROUP: cgroup,
            ProcessText.VM: read_vm(one.pid, cgroup, self._root),
        }
        new = {which: text for which, text in read.items() if text != one.told.get(which, "")}
        new = {which: text for which, text in new.items() if text}
        if not new or (one.told and read_start(one.pid, self._root) != one.start):
            return []
        one.told |= new
        if ProcessText.VM in new:
            new[ProcessText.VM] = self._only(mm, one)
        pieces = [text_records(mm, which, text) for which, text in new.items()]
        for piece in pieces:
            piece["ts"] = time.monotonic_ns()
        return pieces

    def _only(self, mm: int, one: _Met) -> str:
        """The name of a guest; with the pid where another one that is alive has that name.

        Proxmox, and several users of libvirt, may run guests of one name.
        """
        name = one.told[ProcessText.VM]
        if self._guests.get(one.guest) == mm:
            del self._guests[one.guest]
        if self._guests.setdefault(name, mm) == mm:
            one.guest = name
            return name
        return f"{name} (pid {one.pid})"
