"""Which processes are looked at: all, or those of pids, cgroups and guests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.kernel.files import process_ids, read_text
from ksmtrace.kernel.processes import read_cgroup, read_start, read_vm
from ksmtrace.kernel.sysfs import ROOT


@dataclass(frozen=True, slots=True)
class Target:
    """A process to look at.

    Attributes:
        start: when it began, in clock ticks since boot.
        vm: the guest that it runs; "" for none.
    """

    pid: int
    start: int
    name: str
    cgroup: str
    vm: str


def find_targets(
    pids: Sequence[int] = (),
    cgroups: Sequence[str] = (),
    vms: Sequence[str] = (),
    root: Path = ROOT,
) -> list[Target]:
    """The processes that any of these names, in the order in which they began; else every process.

    Kernel threads and ksmtrace itself are none of them.

    Args:
        pids: of processes.
        cgroups: paths as in /proc/<pid>/cgroup, with all that is below them.
        vms: names of guests.
        root: where /proc is.

    Raises:
        KsmtraceError: one of the names is nobody's.
        HostError: /proc lists no process, not even this one.
    """
    pids_seen = list(process_ids(root))
    if not pids_seen:
        raise HostError("no process is to be seen: /proc is not mounted or hidden here: mount it")
    found = [one for pid in pids_seen if (one := _target(pid, root)) is not None]
    if pids or cgroups or vms:
        chosen = {one.pid: one for one in _by_pid(found, pids)}
        chosen |= {one.pid: one for one in _by_cgroup(found, cgroups)}
        chosen |= {one.pid: one for one in _by_vm(found, vms)}
        found = list(chosen.values())
    else:
        found = [one for one in found if one.pid != os.getpid()]
    return sorted(found, key=lambda one: (one.start, one.pid))


def _target(pid: int, root: Path) -> Target | None:
    """The process, None where it has gone, or is a kernel thread, which has no executable."""
    start = read_start(pid, root)
    if start is None or read_text(root / f"proc/{pid}/statm") in (None, "0 0 0 0 0 0 0"):
        return None
    cgroup = read_cgroup(pid, root)
    name = read_text(root / f"proc/{pid}/comm") or ""
    return Target(pid, start, name, cgroup, read_vm(pid, cgroup, root))


def _by_pid(found: Sequence[Target], pids: Sequence[int]) -> Iterator[Target]:
    known = {one.pid: one for one in found}
    for pid in pids:
        if pid not in known:
            raise KsmtraceError(f"there is no process {pid} with memory of its own: see ps")
        yield known[pid]


def _by_cgroup(found: Sequence[Target], cgroups: Sequence[str]) -> Iterator[Target]:
    for path in cgroups:
        asked = "/" + path.removeprefix("/sys/fs/cgroup").strip("/")
        below = asked.rstrip("/") + "/"
        inside = [one for one in found if one.cgroup == asked or one.cgroup.startswith(below)]
        if not inside:
            raise KsmtraceError(
                f"no process is in the cgroup {asked}: give a path as in /proc/PID/cgroup"
            )
        yield from inside


def _by_vm(found: Sequence[Target], vms: Sequence[str]) -> Iterator[Target]:
    names = sorted({one.vm for one in found if one.vm})
    for name in vms:
        if name not in names:
            there = f"there are {', '.join(names[:10])}" if names else "no guest runs here"
            raise KsmtraceError(f"no guest {name!r}: {there}")
        yield from (one for one in found if one.vm == name)
