"""Measures what the attached programs take of ksmd: samples of the kernel's own count of them."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ksmtrace.events.probe_time import ProbeTime
from ksmtrace.kernel.bpf_stats import ASSUMED, Clock, Runs, enable_stats, measure_clock, read_runs
from ksmtrace.kernel.sysfs import read_cpu_ns
from ksmtrace.sources.live.hook_threads import SHARED, runs_in_ksmd, way_instructions
from ksmtrace.sources.live.program import Loaded, Program


@dataclass(frozen=True, slots=True)
class _State:
    at_ns: int
    ksmd_ns: int
    runs: Mapping[str, Runs]
    in_ksmd: list[int]


class ProbeTimer:
    """Samples of one program's time; one at a time, each begun and ended.

    What a program takes is what the kernel counted of its runs, less the price of that count, and
    for each run the kernel's way into it: `way_instructions` at this machine's speed.
    """

    def __init__(self, program: Program, ksmd_pid: int) -> None:
        self._program = program
        self._ksmd_pid = ksmd_pid
        self._clock: Clock | None = None
        self._counting: int | None = None
        self._held = False
        self._err = 0
        self._before: _State | None = None

    def hold(self) -> None:
        """Have the kernel count for good: what begins it needs privileges that are given up."""
        self._count()
        self._held = True

    def begin(self) -> None:
        """Begin a sample."""
        self._count()
        self._before = None if self._err else self._state()

    def end(self) -> ProbeTime:
        """End the sample; `err` is set where nothing is known."""
        before, self._before = self._before, None
        found = ProbeTime(ts=time.monotonic_ns(), err=-(self._err or errno.ENODATA))
        if before is not None:
            now = self._state()
            if now is not None:
                found = self._between(before, now)
        if not self._held:
            self.close()
        return found

    def close(self) -> None:
        """The kernel need not count any more."""
        if self._counting is not None:
            os.close(self._counting)
            self._counting = None

    def _count(self) -> None:
        if self._counting is not None:
            return
        try:
            self._counting = enable_stats()
            self._err = 0
            self._clock = self._clock or measure_clock()
        except OSError as error:
            self._err = error.errno or errno.EPERM

    def _state(self) -> _State | None:
        ksmd_ns = read_cpu_ns(self._ksmd_pid)
        if ksmd_ns is None:
            return None
        try:
            # A window may be attached meanwhile, by its own thread.
            loaded = dict(self._program.loaded)
            runs = {name: read_runs(one.descriptor) for name, one in loaded.items()}
            return _State(time.monotonic_ns(), ksmd_ns, runs, self._program.ksmd_runs())
        except OSError as error:
            self._err = error.errno or errno.EPERM
        except KeyError:  # bcc's word for a look-up that failed
            self._err = errno.EPERM
        return None

    def _between(self, before: _State, now: _State) -> ProbeTime:
        clock = self._clock or ASSUMED
        ours_ns = theirs_ns = 0.0
        ours = theirs = 0
        for name in now.runs:
            loaded = self._program.loaded[name]
            first = before.runs.get(name, Runs(0, 0))
            count = now.runs[name].number - first.number
            ns = max(0.0, now.runs[name].ns - first.ns - count * clock.empty_ns)
            in_ksmd = _in_ksmd(loaded, count, before, now)
            way_ns = way_instructions(loaded.hook, loaded.mechanism) * clock.instruction_ns
            others_ns = min(ns, (count - in_ksmd) * clock.other_ns) if in_ksmd else ns
            ours_ns += ns - others_ns + in_ksmd * way_ns
            theirs_ns += others_ns + (count - in_ksmd) * way_ns
            ours, theirs = ours + in_ksmd, theirs + count - in_ksmd
        return ProbeTime(
            sample_ns=now.at_ns - before.at_ns,
            ksmd_ns=now.ksmd_ns - before.ksmd_ns,
            in_ksmd_ns=round(ours_ns),
            elsewhere_ns=round(theirs_ns),
            runs_in_ksmd=ours,
            runs_elsewhere=theirs,
            ts=now.at_ns,
        )


def _in_ksmd(loaded: Loaded, count: int, before: _State, now: _State) -> int:
    target = loaded.hook.target
    if target in SHARED:
        place = SHARED.index(target)
        return min(count, now.in_ksmd[place] - before.in_ksmd[place])
    return count if runs_in_ksmd(loaded.hook) else 0
