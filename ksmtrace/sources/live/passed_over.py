"""What the kernel itself did not run of our programs, as LOST records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ksmtrace.events.kinds import EventKind, LossCause
from ksmtrace.events.record import Records, empty_records
from ksmtrace.kernel.bpf_stats import read_missed_kprobes, read_recursion_misses
from ksmtrace.sources.live.hook_threads import SHARED
from ksmtrace.sources.live.probe_spec import Hook
from ksmtrace.sources.live.program import Program

_OF_ONE_KIND = {
    "do_wp_page": EventKind.COW_FAULT,
    "break_ksm": EventKind.COW_FAULT,
    "sysfs_kf_write": EventKind.TUNABLE,
}
"""Functions whose hooks show events of one kind alone."""


@dataclass(frozen=True, slots=True)
class _Count:
    """A count of the kernel's, by what it is of."""

    cause: LossCause
    kind: int
    value: int


class PassedOver:
    """Programs that the kernel passed over: what is new at each look.

    Args:
        program: whose programs and kprobes; None for a run without any.
    """

    def __init__(self, program: Program | None) -> None:
        self._program = program
        self._before: dict[tuple[LossCause, str], int] = {}

    def records(self) -> Records:
        """LOST records for what was passed over since the last call."""
        sums: dict[tuple[LossCause, int], int] = {}
        for name, count in self._counts():
            key = count.cause, name
            grown = count.value - self._before.get(key, 0)
            self._before[key] = count.value
            if grown > 0:
                of = count.cause, count.kind
                sums[of] = sums.get(of, 0) + grown
        records = empty_records(len(sums))
        for row, ((cause, kind), lost) in enumerate(sorted(sums.items())):
            records["kind"][row], records["ts"][row] = EventKind.LOST, time.monotonic_ns()
            records["aux"][row], records["address"][row], records["pfn"][row] = lost, cause, kind
        return records

    def _counts(self) -> Iterator[tuple[str, _Count]]:
        """The kernel's counts by a name of their own; those that cannot be read are left out.

        So are those of functions that every thread passes, where the hook looks for ksmd alone.
        They are missed in interrupts, which come amid another hook. ksmd calls them amid none, and
        a batch that one did not end would end with the next.
        """
        if self._program is None:
            return
        # a window may be attached meanwhile, by its own thread
        for name, loaded in dict(self._program.loaded).items():
            if loaded.hook.target in SHARED:
                continue
            misses = _or_none(read_recursion_misses, loaded.descriptor)
            if misses is not None:
                yield name, _Count(LossCause.RECURSION, _kind(loaded.hook), misses)
        for place, (hook, link) in enumerate(self._program.links):
            if hook.target in SHARED:
                continue
            missed = _or_none(read_missed_kprobes, link)
            if missed is not None:
                yield str(place), _Count(LossCause.MISSED, _kind(hook), missed)


def _or_none(read: Callable[[int], int | None], descriptor: int) -> int | None:
    try:
        return read(descriptor)
    except OSError:
        return None


def _kind(hook: Hook) -> int:
    return int(_OF_ONE_KIND.get(hook.target, 0))
