"""Why a probe that the kernel attaches may never fire: switches of the host, a try of our own.

With kernel.ftrace_enabled 0, or kprobes switched off in debugfs, the kernel takes probes as ever,
and does not run them (seen on 6.1 and 6.12: by the former trampolines neither).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ksmtrace.kernel.bpf import RETURN_0, Outage, load_kprobe
from ksmtrace.kernel.bpf_stats import enable_stats, read_runs
from ksmtrace.kernel.kprobe import attach_kprobe
from ksmtrace.kernel.switches import is_ftrace_off, switched_off
from ksmtrace.kernel.sysfs import ROOT

_OPENS = "do_sys_openat2"
"""What a canary is attached to: each open passes it (5.6)."""

_TRIES = 4
_NOT_LOOKED_AT = Outage("")


def kprobes_fire() -> bool | None:
    """Whether a kprobe of our own, at the opening of files, was seen to run.

    False, and none is tried, while ftrace is off. None where that cannot be tried: the kernel does
    not count runs, or has not that function.
    """
    if is_ftrace_off():
        return False
    with ExitStack() as held:
        try:
            held.callback(os.close, enable_stats())
            program = load_kprobe(RETURN_0)
            held.callback(os.close, program)
            for descriptor in attach_kprobe(program, _OPENS, at_return=False):
                held.callback(os.close, descriptor)
            before = read_runs(program).number
            for _ in range(_TRIES):
                os.close(os.open("/", os.O_RDONLY | os.O_DIRECTORY))
            return read_runs(program).number > before
        except OSError:
            return None


def without_silent(
    mechanisms: Mapping[str, Outage | None], root: Path = ROOT
) -> dict[str, Outage | None]:
    """The same, with those out by which probes would attach and never fire."""
    found = dict(mechanisms)
    for name in [name for name, outage in found.items() if outage is None]:
        switch = switched_off(name, root)
        if switch is not None:
            found[name] = Outage(switch.sentence, remedy=switch.remedy)
    if root == ROOT and found.get("kprobe", _NOT_LOOKED_AT) is None and kprobes_fire() is False:
        found["kprobe"] = Outage("kprobes attach here and do not fire: one of our own did not")
    return found
