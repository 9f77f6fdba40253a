"""Reads from /proc a process's cgroup, the guest that it runs, and its counters of KSM."""

from __future__ import annotations

from pathlib import Path

from ksmtrace.events.kinds import ProcessGauge
from ksmtrace.kernel.files import NOT_AS_KNOWN, UNREAD, number, read_bytes, read_lines, read_text
from ksmtrace.kernel.guests import parse_vm
from ksmtrace.kernel.sysfs import ROOT

_START = 19


def read_cgroup(pid: int, root: Path = ROOT) -> str:
    """Path of a process's cgroup below the mount, as the reader's own cgroup namespace shows it.

    It is the one that the process's memory is charged to: of the memory controller where that is of
    cgroup v1 (a hybrid host has it there, and everyone at "/" of the unified hierarchy), else of
    the unified hierarchy. Where that is the root, a more telling one: the unified, or systemd's
    own. "" when there is no such process or no cgroup.
    """
    found: dict[str, str] = {}
    for line in read_lines(root / f"proc/{pid}/cgroup"):
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        named = {"unified"} if hierarchy == "0" and not controllers else set(controllers.split(","))
        for name in named & {"memory", "unified", "name=systemd"}:
            found[name] = path.removesuffix(" (deleted)")
    candidates = [found[name] for name in ("memory", "unified", "name=systemd") if name in found]
    return next((path for path in candidates if path not in ("", "/")), max(candidates, default=""))


def read_vm(pid: int, cgroup: str = "", root: Path = ROOT) -> str:
    """Name of the guest that the process runs, by its command line and cgroup; "" for none."""
    line = read_bytes(root / f"proc/{pid}/cmdline") or b""
    words = [word.decode("utf-8", "replace") for word in line.rstrip(b"\0").split(b"\0")]
    return parse_vm(words, cgroup)


def read_start(pid: int, root: Path = ROOT) -> int | None:
    """When the process began, in clock ticks since boot: with its pid, it names it; None if gone.

    starttime of /proc/<pid>/stat (proc(5)).
    """
    fields = (read_text(root / f"proc/{pid}/stat") or "").rpartition(")")[2].split()
    return number(fields[_START]) if len(fields) > _START else None


def read_rest(pid: int, root: Path = ROOT) -> int | None:
    """How often the task had gone to sleep by itself when it fell into the sleep that it is in.

    None while it works, waits uninterruptibly, or is no more.
    """
    found: dict[str, str] = dict(
        line.partition(":")[::2] for line in read_lines(root / f"proc/{pid}/status")
    )
    if found.get("State", "").split()[:1] not in (["S"], ["I"]):
        return None
    return number(found.get("voluntary_ctxt_switches", "0").strip())


def read_ksm_stat(pid: int, root: Path = ROOT) -> dict[ProcessGauge, int]:
    """The kernel's counters of a process, as far as this kernel has them (none before 5.19).

    They are pages, except ksm_process_profit, which is bytes. Empty when the process is gone or may
    not be read.
    """
    found: dict[ProcessGauge, int] = {}
    path = root / f"proc/{pid}/ksm_stat"
    for line in read_lines(path):
        name, _, text = line.partition(" ")
        member = ProcessGauge.__members__.get(name.upper())
        if member is not None:
            _take(found, member, text, path)
    if ProcessGauge.KSM_MERGING_PAGES not in found:
        path = root / f"proc/{pid}/ksm_merging_pages"
        for line in read_lines(path):
            _take(found, ProcessGauge.KSM_MERGING_PAGES, line, path)
    return found


def _take(found: dict[ProcessGauge, int], member: ProcessGauge, text: str, path: Path) -> None:
    value = number(text.strip())
    if value is None:
        UNREAD.note(path, NOT_AS_KNOWN)
    else:
        found[member] = value
