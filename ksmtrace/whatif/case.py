"""What scenarios are tried on: the steps of a workload, or those made of a capture."""

from __future__ import annotations

from dataclasses import dataclass, field

from ksmtrace.workload.file import Workload


@dataclass(frozen=True, slots=True)
class KernelPoint:
    """The kernel's own gauges at the end of a pass."""

    pages_shared: int
    pages_sharing: int
    pages_unshared: int
    pages_volatile: int


@dataclass(frozen=True, slots=True)
class Case:
    """What happens to memory, to be run under scenarios.

    Attributes:
        source: "capture" or "workload".
        name: the file's name, or the workload's.
        workload: the steps, with the variant and tunables of the baseline.
        warm_up_steps: how many steps only bring about what the capture found, and do not count.
        passes: full passes that the capture saw; None for a workload.
        kernel_points: the kernel's gauges by pass, counted from 0, where the capture has them.
        totals: the kernel's own (pages_scanned, cow_breaks); None for a workload.
        assumptions: what is not known, and is assumed; one line each.
    """

    source: str
    name: str
    workload: Workload
    warm_up_steps: int = 0
    passes: int | None = None
    kernel_points: dict[int, KernelPoint] = field(default_factory=dict)
    totals: tuple[int, int] | None = None
    assumptions: tuple[str, ...] = ()
