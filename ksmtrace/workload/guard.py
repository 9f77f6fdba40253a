"""Borrows this machine's KSM: one user at a time, everything put back afterwards."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Self

from ksmtrace.errors import HostError
from ksmtrace.kernel.host import find_ksmd
from ksmtrace.kernel.mergeable import find_mergeable
from ksmtrace.kernel.presence import why_no_ksm
from ksmtrace.kernel.privileges import WITHOUT_ROOT
from ksmtrace.kernel.sysfs import ksm_directory, read_counters, read_tunables, require_number
from ksmtrace.workload.ksmd import Ksmd
from ksmtrace.workload.restorer import Plan, Restorer, carry_out
from ksmtrace.workload.tunables import DEFAULTS

LOCK = Path("/run/lock/ksmtrace.lock")

_LOCK_PAUSE_SECONDS = 0.02


class KsmGuard:
    """A context in which KSM's tunables may be written.

    `run` and all others are restored at its end, or when this process is killed.

    Args:
        clean: for runs on a machine of one's own. Everything is unmerged at both ends (run=2),
            every tunable begins with the kernel's default, and another user of the guard is waited
            for. Without it, merged pages of others are left alone, and nobody is waited for.
        alone: refuse where a process has mergeable memory.
        waiting: a context around the wait for another user.

    Raises:
        HostError: no KSM, not root, in use, or not alone.
    """

    def __init__(
        self,
        *,
        clean: bool,
        alone: bool = False,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        absence = why_no_ksm()
        if absence is not None:
            raise HostError(str(absence))
        if os.geteuid() != 0:
            raise HostError(f"switching KSM on needs root: run it with sudo, {WITHOUT_ROOT}")
        self._clean = clean
        self._alone = alone
        self._waiting = waiting
        self._ksmd = find_ksmd()

    def __enter__(self) -> Self:
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        self._lock = LOCK.open("w")
        try:
            self._take_lock()
            if self._alone:
                self._check_alone()
        except BaseException:
            self._lock.close()
            raise
        self._plan = self._restoration()
        self._restorer = Restorer(self._lock.fileno())
        self._restorer.add(self._plan)
        if self._clean:
            self._start_clean()
        return self

    def __exit__(self, *error: object) -> None:
        try:
            carry_out(self._plan)
            self._restorer.dismiss()
        finally:
            self._lock.close()

    def restore_also(self, plan: Plan) -> None:
        """If this process is killed, carry out this plan too, before KSM is put back.

        Otherwise that is left to the caller.
        """
        self._restorer.add(plan)

    def write(self, name: str, value: str | int) -> None:
        """Write a tunable by its sysfs name.

        Raises:
            OSError: the kernel refuses the value, or has no such tunable.
        """
        (ksm_directory() / name).write_text(str(value))

    def write_defaults(self, *names: str) -> None:
        """Write the kernel's default to those of these tunables that exist, unless it refuses."""
        plan = [
            (str(ksm_directory() / name), str(DEFAULTS[name])) for name in names if self.has(name)
        ]
        carry_out(plan)

    def has(self, name: str) -> bool:
        """Whether this kernel has the tunable or counter."""
        return (ksm_directory() / name).exists()

    def counter(self, name: str) -> int:
        """A counter of /sys/kernel/mm/ksm, now."""
        return require_number(ksm_directory() / name)

    @property
    def ksmd(self) -> Ksmd:
        """The scanner.

        Raises:
            HostError: it cannot be found in /proc.
        """
        if self._ksmd is None:
            raise HostError("ksmd cannot be found in /proc")
        return Ksmd(self._ksmd)

    def start_stepping(self, pages_to_scan: int = 1_000_000) -> None:
        """Stop ksmd, so that `scan` decides when it works."""
        self.ksmd.park()
        if self.has("advisor_mode"):
            self.write("advisor_mode", "none")
        self.write("pages_to_scan", pages_to_scan)

    def scan(self, passes: int = 1) -> None:
        """Run ksmd for so many full passes, then stop it; needs `start_stepping`.

        Raises:
            HostError: ksmd did not come to rest, or no process is registered.
        """
        if self.ksmd.scan(passes) < passes:
            raise HostError("no process is registered with KSM: ksmd does not scan")

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

    def _take_lock(self) -> None:
        with self._waiting():
            while not self._try_lock():
                if not self._clean:
                    raise HostError(
                        f"another demo or test is using KSM (it holds {LOCK}): wait for it"
                    )
                # not a lock that blocks: a signal just before it would not be heard until it is had
                time.sleep(_LOCK_PAUSE_SECONDS)

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _check_alone(self) -> None:
        pids = find_mergeable()
        if pids:
            shown = ", ".join(map(str, pids[:5])) + (", …" if len(pids) > 5 else "")
            raise HostError(
                f"{len(pids)} processes have mergeable memory (pid {shown}): "
                "end them, or use a machine or guest of its own"
            )

    def _restoration(self) -> list[tuple[str, str]]:
        """What to write so that all is as it is now."""
        before = read_tunables()
        run = before.pop("run")
        # advisor_mode first: it resets others, and while it is on some cannot be written
        names = sorted(before, key=lambda name: name != "advisor_mode")
        # run=2 is a command, not a state to go back to
        steps = [(name, before[name]) for name in names] + [("run", "0" if run == "2" else run)]
        if self._clean:
            steps = [("run", "2"), ("run", "0"), *steps]
        return [(str(ksm_directory() / name), value) for name, value in steps]

    def _start_clean(self) -> None:
        """Unmerge everything and write the kernel's defaults, whatever a killed run has left."""
        self.write("run", 2)
        self.write("run", 0)
        self.write_defaults(*DEFAULTS)
