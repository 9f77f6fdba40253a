"""The switches of a host by which probes that are attached do not fire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ksmtrace.events.kinds import Gauge


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
