"""Why a probe that the kernel attaches may never fire: switches of the host, a try of our own.

With kernel.ftrace_enabled 0, or kprobes switched off in debugfs, the kernel takes probes as ever,
and does not run them (seen on 6.1 and 6.12: by the former trampolines neither).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.events.kinds import Gauge
from ksmtrace.kernel.bpf import RETURN_0, Outage, load_kprobe
from ksmtrace.kernel.bpf_stats import enable_stats, read_runs
from ksmtrace.kernel.files import UnreadError, load_number
from ksmtrace.kernel.kprobe import attach_kprobe
from ksmtrace.kernel.sysfs import ROOT

_OPENS = "do_sys_openat2"
"""What a canary is attached to: each open passes it (5.6)."""

_TRIES = 4
_NOT_LOOKED_AT = Outage("")


@dataclass(frozen=True, slots=True)
class Switch:
    """A setting of the host that silences probes while it is 0.

    Attributes:
        file: below /; where it is missing (debugfs is not mounted), nothing is known.
        setting: how it is called.
        remedy: a command that switches it on.
        mechanisms: those that are silenced.
    """

    file: str
    setting: str
    remedy: str
    mechanisms: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Why they are silent."""
        return f"{self.setting} is 0: probes attach, and none fires"


SWITCHES: Mapping[Gauge, Switch] = {
    Gauge.FTRACE_ENABLED: Switch(
        "proc/sys/kernel/ftrace_enabled",
        "kernel.ftrace_enabled",
        "sysctl -w kernel.ftrace_enabled=1",
        ("kprobe", "fentry"),
    ),
    Gauge.KPROBES_ENABLED: Switch(
        "sys/kernel/debug/kprobes/enabled",
        "/sys/kernel/debug/kprobes/enabled",
        "echo 1 > /sys/kernel/debug/kprobes/enabled",
        ("kprobe",),
    ),
}
"""The switches, by the gauge that has their position in a reading of the kernel's counters."""


def read_switch(gauge: Gauge, root: Path = ROOT) -> int | None:
    """The position of a switch, None where there is no such file.

    Raises:
        UnreadError: it cannot be read.
    """
    return load_number(root / SWITCHES[gauge].file)


def switched_off(mechanism: str, root: Path = ROOT) -> Switch | None:
    """The switch by which a mechanism is silent now; None where there is none, or none is known."""
    for gauge, switch in SWITCHES.items():
        if mechanism in switch.mechanisms:
            try:
                position = read_switch(gauge, root)
            except UnreadError:
                continue
            if position == 0:
                return switch
    return None


def kprobes_fire() -> bool | None:
    """Whether a kprobe of our own, at the opening of files, was seen to run.

    None where that cannot be tried: the kernel does not count runs, or has not that function.
    """
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
