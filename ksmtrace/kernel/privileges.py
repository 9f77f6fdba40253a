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
"""Those without which BPF may be refused, with their bits; CAP_SYS_ADMIN includes the last two
(5.8), and from 5.11 on CAP_SYS_RESOURCE is not asked for."""


WITHOUT_ROOT = "or see the kernel's own counters without: ksmtrace live --probes sysfs"
"""What is left to somebody who is not root."""


def read_lockdown(root: Path = ROOT) -> str:
    """Return "none", "integrity" or "confidentiality"; "" where the kernel does not tell."""
    text = read_text(root / "sys/kernel/security/lockdown") or ""
    return text.partition("[")[2].partition("]")[0]


def missing_capabilities(root: Path = ROOT) -> list[str]:
    """Those of `CAPABILITIES` that this process lacks."""
    effective = effective_capabilities(root)
    if effective is None:
        return []
    return [name for name, bit in CAPABILITIES.items() if not effective >> bit & 1]


def why_unprivileged(root: Path = ROOT) -> str:
    """Why this process cannot load programs that trace, by its user and capabilities; "" if it may.

    Root is not looked at further: what else is refused to it is found by trying. Any other user
    needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN.
    """
    if os.geteuid() == 0:
        return ""
    missing = {
        name
        for name, bit in CAPABILITIES.items()
        if not (effective_capabilities(root) or 0) >> bit & 1
    }
    if missing.isdisjoint({"CAP_BPF", "CAP_PERFMON"}) or "CAP_SYS_ADMIN" not in missing:
        return ""
    return "not root, and without CAP_BPF and CAP_PERFMON"


def effective_capabilities(root: Path = ROOT) -> int | None:
    """The effective capabilities as bits; None where the kernel does not tell."""
    for line in read_lines(root / "proc/self/status"):
        found = re.fullmatch(r"CapEff:\s*([0-9a-fA-F]{1,16})\s*", line)
        if found:
            return int(found[1], 16)
    return None


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
