"""Privileges of this process, and why the kernel refused something: lockdown, capabilities."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from ksmtrace.kernel.capabilities import NUMBERS
from ksmtrace.kernel.files import read_lines, read_text
from ksmtrace.kernel.sysfs import ROOT

CAPABILITIES = {
    name: NUMBERS[name] for name in ("CAP_SYS_ADMIN", "CAP_SYS_RESOURCE", "CAP_PERFMON", "CAP_BPF")
}
"""Those that tracing needs, with their bits; CAP_SYS_ADMIN includes the last two (5.8)."""


def read_lockdown(root: Path = ROOT) -> str:
    """Return "none", "integrity" or "confidentiality"; "" where the kernel does not tell."""
    text = read_text(root / "sys/kernel/security/lockdown") or ""
    return text.partition("[")[2].partition("]")[0]


def missing_capabilities(root: Path = ROOT) -> list[str]:
    """Those of `CAPABILITIES` that this process lacks."""
    for line in read_lines(root / "proc/self/status"):
        found = re.fullmatch(r"CapEff:\s*([0-9a-fA-F]{1,16})\s*", line)
        if found:
            effective = int(found[1], 16)
            return [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]
    return []


def why_refused(what: str, error: OSError, root: Path = ROOT) -> str:
    """A phrase for an error of the kernel: the errno's name, and possible causes on this host."""
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    if error.errno not in (errno.EPERM, errno.EACCES):
        return f"{what} is refused ({name}: {os.strerror(error.errno or 0)})"
    causes = []
    lockdown = read_lockdown(root)
    if lockdown not in ("", "none"):
        causes.append(f"lockdown is {lockdown}")
    missing = missing_capabilities(root)
    if missing:
        causes.append(f"this process lacks {', '.join(missing)}")
    return f"{what} is refused ({name}{'; ' if causes else ''}{'; '.join(causes)})"
