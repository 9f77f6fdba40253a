"""Which capabilities each way of tracing needs, and what each of them is for.

Found by tests/bench/capabilities.py on the kernels of tests/bench/data/capabilities.json, which
tests/contract holds this against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.kernel.capabilities import NUMBERS
from ksmtrace.kernel.privileges import effective_capabilities
from ksmtrace.kernel.sysfs import ROOT


@dataclass(frozen=True, slots=True)
class Way:
    """A way of tracing, and the capabilities that are enough for it, for any user.

    Attributes:
        options: of `live`.
        to_run: it is refused without these.
        to_see_all: it runs without these, and shows less.
        later: what --drop-capabilities keeps, so that no more is lost.
    """

    options: str
    to_run: tuple[str, ...] = ()
    to_see_all: tuple[str, ...] = ()
    later: tuple[str, ...] = ()

    @property
    def needed(self) -> tuple[str, ...]:
        """What it takes at the start."""
        return self.to_run + self.to_see_all


_BPF = ("CAP_BPF", "CAP_PERFMON")
_PROBES = ("CAP_SYSLOG", "CAP_SYS_ADMIN")
_OTHERS = ("CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH")
_READ = ("CAP_DAC_READ_SEARCH",)
_ADMIN = ("CAP_SYS_ADMIN",)

WAYS: Mapping[str, Way] = {
    "sysfs": Way("--probes sysfs", to_see_all=("CAP_SYS_ADMIN", *_OTHERS)),
    "tracepoint": Way("--probes tracepoint", _BPF, ("CAP_SYS_ADMIN", *_OTHERS), _READ),
    "gather": Way("--probes gather", _PROBES, _OTHERS, (*_READ, *_BPF)),
    "cow_all": Way("--probes gather --cow all", _PROBES, _OTHERS, _READ),
    "totals": Way("--totals", _BPF, ("CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"), _READ),
    "fentry": Way("--probes fentry", _ADMIN, ("CAP_SYSLOG", *_OTHERS), (*_READ, *_BPF)),
    "kprobe": Way("--probes kprobe", _ADMIN, ("CAP_SYSLOG", *_OTHERS), (*_READ, *_ADMIN)),
}

PURPOSES: Mapping[str, str] = {
    "CAP_BPF": "loading BPF programs; CAP_SYS_ADMIN includes it",
    "CAP_PERFMON": "programs that trace; CAP_SYS_ADMIN includes it",
    "CAP_SYSLOG": "addresses of the kernel's functions and data (/proc/kallsyms)",
    "CAP_SYS_ADMIN": "kprobes, where perf_event_paranoid is 3 (Debian); page frames of what was "
    "merged before (/proc/PID/pagemap); the time that programs take (BPF_ENABLE_STATS), without "
    "which no budget is kept",
    "CAP_SYS_PTRACE": "what was merged before in other processes (/proc/PID/pagemap; 6.18 does "
    "without)",
    "CAP_DAC_READ_SEARCH": "the kernel's counts of each process (/proc/PID/ksm_stat), and "
    "/proc/kpageflags for who is not root",
}
"""What is not seen, or not done, without a capability."""


def lacking(way: str, root: Path = ROOT) -> list[str]:
    """What a way needs and this process has not; nothing where the kernel does not tell."""
    effective = effective_capabilities(root)
    if effective is None:
        return []
    held = {name for name, bit in NUMBERS.items() if effective >> bit & 1}
    if "CAP_SYS_ADMIN" in held:
        held.update(_BPF)
    return [name for name in WAYS[way].needed if name not in held]
