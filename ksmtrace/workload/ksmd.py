"""Steps ksmd batch by batch, exactly.

Between batches `run` is not 1 and ksmd waits for it to become 1. A write of 1 wakes it: it scans
one batch and then sleeps for `sleep_millisecs`, an hour here. A write to `run` waits for the end of
a batch; a write of a different `sleep_millisecs` wakes ksmd from that sleep, and with `run` 0 it
goes back to where it was before. It is awake as soon as the write that wakes it returns, and sleeps
interruptibly nowhere inside a batch: once it sleeps so, it has done what it was woken for.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from pathlib import Path

from ksmtrace.errors import HostError
from ksmtrace.kernel.files import load_number, read_text
from ksmtrace.kernel.sysfs import ksm_directory, require_number

_SLEEP_MILLISECS = (3_600_000, 3_600_001)
_PATIENCE_SECONDS = 300.0
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.00005, 0.002

_SYS_MOVE_PAGES = {"x86_64": 279, "aarch64": 239, "riscv64": 239}
_MPOL_MF_MOVE = 2


class Ksmd:
    """The kernel thread, for whoever has KSM for himself."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._directory = ksm_directory()

    def park(self) -> bool:
        """Stop ksmd; returns whether it was about to go on: not if no process is registered."""
        self._write("run", 0)
        return self._leave_sleep()

    def batch(self) -> bool:
        """Run a parked ksmd for exactly one batch; False if no process is registered."""
        drain_lru()
        before = self._progress()
        self._write("run", 1)
        wait_until_asleep(self._proc)
        return self.park() or self._progress() != before

    def scan(self, passes: int) -> int:
        """Run a parked ksmd until `full_scans` has grown by `passes`; returns by how much it has.

        That is less if ksmd stopped.
        A pass that has begun already is the first.
        """
        start = self._full_scans()
        while (done := self._full_scans() - start) < passes:
            if not self.batch():
                break
        return done

    def _leave_sleep(self) -> bool:
        """Let ksmd see `run`; returns whether it slept between two batches."""
        wait_until_asleep(self._proc)
        arrivals = self._arrivals()
        now = (self._directory / "sleep_millisecs").read_text().strip()
        first, second = _SLEEP_MILLISECS
        self._write("sleep_millisecs", second if now == str(first) else first)
        wait_until_asleep(self._proc)
        return self._arrivals() != arrivals

    def _arrivals(self) -> int:
        """How often ksmd was given a CPU: counted before it runs, unlike switches and run time."""
        try:
            return int((self._proc / "schedstat").read_text().split()[2])
        except (OSError, IndexError, ValueError) as error:
            raise HostError(
                "ksmd cannot be stepped: this kernel needs CONFIG_SCHED_INFO (CONFIG_SCHEDSTATS)"
            ) from error

    def _progress(self) -> tuple[int, int]:
        scanned = load_number(self._directory / "pages_scanned")
        return self._full_scans(), scanned or 0

    def _full_scans(self) -> int:
        return require_number(self._directory / "full_scans")

    def _write(self, name: str, value: int) -> None:
        (self._directory / name).write_text(str(value))


def wait_until_asleep(proc: Path) -> None:
    """Return when a kernel thread, by its directory in /proc, sleeps interruptibly.

    Raises:
        HostError: it did not in five minutes, or cannot be looked at.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    pause = _SHORTEST_PAUSE_SECONDS
    while not _is_asleep(proc):
        if time.monotonic() > deadline:
            name = read_text(proc / "comm") or "the thread"
            raise HostError(f"{name} has not come to rest in five minutes")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _is_asleep(proc: Path) -> bool:
    """Whether the thread is off the run queue, in state S.

    The state alone would not do: a thread that was just woken is in S again for a moment, until it
    has looked at what it waits for (prepare_to_wait_event). /proc/<pid>/syscall is "running" as
    long as it is on a run queue, which a thread that is being woken (TASK_WAKING) or waits for a
    lock is not: so the state is S before and after.
    """
    try:
        return _state(proc) == "S" and not _is_queued(proc) and _state(proc) == "S"
    except OSError as error:
        raise HostError(f"{error.filename} cannot be read: {error.strerror}") from error


def _is_queued(proc: Path) -> bool:
    return (proc / "syscall").read_text() == "running\n"


def _state(proc: Path) -> str:
    fields = (proc / "stat").read_text().rpartition(")")[2].split()
    return fields[0] if fields else ""


def drain_lru() -> None:
    """Empty the per-CPU lists of pages on their way to the LRU.

    Their references forbid write protection.

    Raises:
        HostError: this kernel cannot (CONFIG_NUMA, CONFIG_MIGRATION).
    """
    number = _SYS_MOVE_PAGES.get(os.uname().machine)
    if number is None:
        raise HostError(f"workloads cannot be run on {os.uname().machine}")
    libc = ctypes.CDLL(None, use_errno=True)
    # moving no pages at all begins with draining; the arrays must exist, but nothing is read
    nothing = (ctypes.c_long * 1)()
    if libc.syscall(number, 0, ctypes.c_ulong(0), nothing, nothing, nothing, _MPOL_MF_MOVE):
        code = errno.errorcode.get(ctypes.get_errno(), "?")
        raise HostError(f"move_pages fails with {code}: this kernel needs CONFIG_NUMA")
