"""Borrows this machine's KSM: one user at a time, everything put back afterwards."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from ksmtrace.errors import HostError
from ksmtrace.kernel.host import find_ksmd
from ksmtrace.kernel.sysfs import has_ksm, ksm_directory, read_counters, read_tunables

LOCK = Path("/run/lock/ksmtrace.lock")

_STEP_MILLISECS = (3_600_000, 3_600_001)
_PATIENCE_SECONDS = 300.0


class KsmGuard:
    """A context in which KSM's tunables may be written; `run` and all others are restored at its end.

    With `clean`, everything is unmerged at both ends (run=2), and another user of the guard is waited for: for tests on
    a machine of one's own. Without, nobody else's merged pages are touched, and nobody is waited for.

    Raises:
        HostError: no KSM, not root, or in use.
    """

    def __init__(self, *, clean: bool) -> None:
        if not has_ksm():
            raise HostError("this kernel has no KSM (/sys/kernel/mm/ksm is missing)")
        if os.geteuid() != 0:
            raise HostError("switching KSM on needs root: run it with sudo")
        self._clean = clean
        self._step = 0
        self._ksmd = find_ksmd()

    def __enter__(self) -> Self:
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        self._lock = LOCK.open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | (0 if self._clean else fcntl.LOCK_NB))
        except BlockingIOError as error:
            self._lock.close()
            raise HostError(
                f"another demo or test is using KSM (it holds {LOCK}): wait for it"
            ) from error
        self._before = read_tunables()
        if self._clean:
            self._unmerge()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._clean:
                self._unmerge()
            # advisor_mode first: it resets others, and while it is on some cannot be written
            for name in ("advisor_mode", *self._before):
                if name != "run" and name in self._before:
                    with suppress(OSError):
                        self.write(name, self._before[name])
            # run=2 is a command, not a state to go back to
            self.write("run", "0" if self._before["run"] == "2" else self._before["run"])
        finally:
            self._lock.close()

    def write(self, name: str, value: str | int) -> None:
        """Write a tunable by its sysfs name.

        Raises:
            OSError: the kernel refuses the value, or has no such tunable.
        """
        (ksm_directory() / name).write_text(str(value))

    def has(self, name: str) -> bool:
        """Whether this kernel has the tunable or counter."""
        return (ksm_directory() / name).exists()

    def counter(self, name: str) -> int:
        """A counter of /sys/kernel/mm/ksm, now."""
        return int((ksm_directory() / name).read_text())

    def start_stepping(self, pages_to_scan: int = 1_000_000) -> None:
        """Let ksmd sleep for an hour between batches, so that `scan` decides when it works."""
        self.write("run", 0)
        if self.has("advisor_mode"):
            self.write("advisor_mode", "none")
        self.write("pages_to_scan", pages_to_scan)
        self.write("sleep_millisecs", _STEP_MILLISECS[0])

    def scan(self, passes: int = 1) -> None:
        """Run ksmd for so many full passes, then stop it; needs `start_stepping`.

        Raises:
            HostError: ksmd did not finish a pass in five minutes.
        """
        for _ in range(passes):
            done = self.counter("full_scans")
            self._step ^= 1
            self.write("sleep_millisecs", _STEP_MILLISECS[self._step])
            self.write("run", 1)
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while self.counter("full_scans") == done or not self._asleep():
                if time.monotonic() > deadline:
                    raise HostError("ksmd did not finish a pass in five minutes")
                time.sleep(0.002)
            self.write("run", 0)

    def settle(self, seconds: float) -> None:
        """Let ksmd free what exited processes left, until no more changes or the time is over."""
        deadline = time.monotonic() + seconds
        previous = None
        while time.monotonic() < deadline:
            scans = self.counter("full_scans")
            time.sleep(0.2)
            now = {gauge: value for gauge, value in read_counters().items() if gauge <= 4}
            if now == previous and self.counter("full_scans") == scans:
                return
            previous = now

    def _asleep(self) -> bool:
        """Whether ksmd sleeps: full_scans grows a little before the pass is over."""
        stat = Path(f"/proc/{self._ksmd}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] in "SI"

    def _unmerge(self) -> None:
        self.write("run", 2)
        self.write("run", 0)
