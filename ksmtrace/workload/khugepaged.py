"""Keeps khugepaged asleep while huge regions exist: it would join pages that ksmd has split."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ksmtrace.errors import HostError
from ksmtrace.kernel.host import find_kernel_thread
from ksmtrace.kernel.sysfs import ROOT
from ksmtrace.workload.ksmd import wait_until_asleep
from ksmtrace.workload.restorer import Plan, carry_out

_DECOY_SIZE = 4 * 1024 * 1024
_LONG_MILLISECS = 3_600_000


class KhugepagedAsleep:
    """A context in which khugepaged does nothing; its settings are restored afterwards.

    Args:
        restore_also: called with what to write if this process is killed before.

    Raises:
        HostError: this kernel makes no huge pages, or not for who asks for them.
    """

    def __init__(self, restore_also: Callable[[Plan], None]) -> None:
        thp = ROOT / "sys/kernel/mm/transparent_hugepage"
        try:
            never = "[never]" in (thp / "enabled").read_text()
        except OSError as error:
            raise HostError(
                "huge regions need CONFIG_TRANSPARENT_HUGEPAGE, which this kernel lacks"
            ) from error
        if never:
            raise HostError(f"huge regions need huge pages: echo madvise > {thp / 'enabled'}")
        self._sleeps = [
            thp / "khugepaged" / name for name in ("scan_sleep_millisecs", "alloc_sleep_millisecs")
        ]
        self._restore_also = restore_also

    def __enter__(self) -> Self:
        self._plan = [(str(path), path.read_text().strip()) for path in self._sleeps]
        self._restore_also(self._plan)
        # The first process with huge memory wakes khugepaged: that is this one, which keeps none.
        self._decoy = mmap.mmap(-1, _DECOY_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._decoy.madvise(mmap.MADV_HUGEPAGE)
        pid = find_kernel_thread("khugepaged")
        # twice: it may have read the old value just before the first write, and sleep that long
        for _ in range(2):
            for path in self._sleeps:
                path.write_text(str(_LONG_MILLISECS))
            if pid is not None:
                wait_until_asleep(Path(f"/proc/{pid}"))
        return self

    def __exit__(self, *error: object) -> None:
        self._decoy.close()
        carry_out(self._plan)
