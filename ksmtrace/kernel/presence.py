"""Whether KSM and ksmd are to be seen here, and what is known where they are not.

A container, a mount over /sys or /proc, hidepid and permissions hide them: that they are not seen
is no proof that the kernel has no KSM.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ksmtrace.errors import reason_of
from ksmtrace.kernel.files import process_ids, read_lines, read_text
from ksmtrace.kernel.sysfs import ROOT, ksm_directory


class Absence(NamedTuple):
    """What was looked at and not found, and what to do about it."""

    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}: {self.remedy}"


_ON_THE_HOST = "run ksmtrace on the host itself"


def why_no_ksm(root: Path = ROOT) -> Absence | None:
    """Why KSM's files cannot be read here; None where they can."""
    directory = ksm_directory(root)
    try:
        os.stat(directory / "run")
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        why = reason_of(error.errno or 0)
        return Absence(f"/sys/kernel/mm/ksm cannot be looked into ({why})", _ON_THE_HOST)
    else:
        return None
    if os.path.isdir(directory):
        return Absence(
            "/sys/kernel/mm/ksm has no file run, so that it is not known whether this kernel has "
            "KSM (CONFIG_KSM): something is mounted there",
            _ON_THE_HOST,
        )
    if os.path.isdir(directory.parent):
        return Absence(
            "this kernel has no KSM (/sys/kernel/mm/ksm is missing, and the rest of "
            "/sys/kernel/mm is there)",
            "boot a kernel built with CONFIG_KSM=y",
        )
    return Absence(
        "it is not known whether this kernel has KSM (CONFIG_KSM): /sys/kernel/mm is missing, "
        "sysfs is not mounted or hidden here",
        _ON_THE_HOST,
    )


def why_no_ksmd(root: Path = ROOT) -> Absence:
    """Why ksmd, which runs on every kernel with KSM, is not to be seen in /proc."""
    remedy = f"{_ON_THE_HOST} (in a container: with the host's pids, as by --pid=host)"
    count = sum(1 for _ in process_ids(root))
    if not count:
        return Absence("ksmd is not to be seen: /proc lists no process", "mount /proc")
    hidden = _hidepid(root)
    if hidden:
        return Absence(
            f"ksmd is not to be seen: /proc is mounted with {hidden}, lists {count:,} processes",
            "run ksmtrace with CAP_SYS_PTRACE, or as the group that the mount names by gid=",
        )
    second = (read_text(root / "proc/2/stat") or "").partition("(")[2]
    if not second.startswith("kthreadd)"):
        return Absence(
            f"ksmd is not to be seen among {count:,} processes in /proc, of which none is the "
            "kernel's: this is a PID namespace of its own",
            remedy,
        )
    return Absence(f"ksmd is not to be seen among {count:,} processes in /proc", remedy)


def _hidepid(root: Path) -> str:
    """The mount option of /proc that hides processes of others; "" where it has none."""
    found = ""
    for line in read_lines(root / "proc/self/mounts"):
        fields = line.split(" ")
        if len(fields) > 3 and fields[1:3] == ["/proc", "proc"]:
            options = [one for one in fields[3].split(",") if one.startswith("hidepid=")]
            found = next(iter(options), "")
    return "" if found in ("hidepid=0", "hidepid=off") else found
