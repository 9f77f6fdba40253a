"""What must be there before anything is traced: KSM, and for probes root and bcc."""

from __future__ import annotations

import os
from pathlib import Path

from ksmtrace.errors import HostError
from ksmtrace.kernel.host import find_ksmd, import_bcc
from ksmtrace.kernel.sysfs import ROOT, has_ksm


def check_host(root: Path = ROOT, *, with_probes: bool = True) -> int:
    """The pid of ksmd on a host that can be traced, or, without probes, has anything to read.

    Raises:
        HostError: the first thing that is missing, with the remedy.
    """
    if not has_ksm(root):
        raise HostError(
            "this kernel has no KSM (/sys/kernel/mm/ksm is missing): it needs CONFIG_KSM=y"
        )
    if with_probes:
        if os.geteuid() != 0:
            raise HostError("tracing needs root: run it with sudo")
        import_bcc()
    ksmd = find_ksmd(root)
    if ksmd is None:
        raise HostError("the kernel thread ksmd is not running: this kernel has no KSM")
    return ksmd
