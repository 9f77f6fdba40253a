"""What must be there before anything is traced: KSM, and for probes root and bcc."""

from __future__ import annotations

from pathlib import Path

from ksmtrace.errors import HostError
from ksmtrace.kernel.host import find_ksmd, import_bcc
from ksmtrace.kernel.presence import why_no_ksm, why_no_ksmd
from ksmtrace.kernel.privileges import WITHOUT_ROOT, why_unprivileged
from ksmtrace.kernel.sysfs import ROOT


def check_host(root: Path = ROOT, *, with_probes: bool = True) -> int:
    """The pid of ksmd on a host that can be traced, or, without probes, has anything to read.

    Without probes ksmd need not be seen: its pid is 0 then.

    Raises:
        HostError: the first thing that is missing, with the remedy.
    """
    absence = why_no_ksm(root)
    if absence is not None:
        raise HostError(str(absence))
    if with_probes:
        why = why_unprivileged(root)
        if why:
            raise HostError(
                f"tracing needs root, and this is {why}: run it with sudo, {WITHOUT_ROOT}"
            )
        import_bcc()
    ksmd = find_ksmd(root)
    if ksmd is None and with_probes:
        raise HostError(f"{why_no_ksmd(root)}; or use --probes sysfs, which works here")
    return ksmd or 0
