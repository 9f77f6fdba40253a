"""KSM as a `Scanner`: the functions of mm/ksm.c that the rest of the kernel calls."""

from __future__ import annotations

from ksmtrace.engine.ksm.counters import read_counters
from ksmtrace.engine.ksm.registration import (
    ksm_add_vma,
    ksm_disable_merge_any,
    ksm_enable_merge_any,
    ksm_exit,
    ksm_fork,
    madvise_mergeable,
    madvise_unmergeable,
)
from ksmtrace.engine.ksm.scan import ksm_do_scan
from ksmtrace.engine.ksm.state import Ksm
from ksmtrace.engine.ksm.tunables import run_store, store_tunable
from ksmtrace.engine.machine.memory import Mm, Vma


class KsmScanner:
    """`ksm`, driven from outside."""

    def __init__(self, ksm: Ksm) -> None:
        self.ksm = ksm
        self.name = ksm.variant.name
        self.memory = ksm.memory
        self.tunables = ksm.tunables

    @property
    def shown_tunables(self) -> dict[str, str]:
        """What the files show, `run` first; those that this version has."""
        absent, values = self.ksm.variant.absent_tunables, self.ksm.tunables
        shown = {name: str(value) for name, value in values.items() if name not in absent}
        if "advisor_mode" in shown:
            shown["advisor_mode"] = "scan-time" if values["advisor_mode"] else "none"
        return {"run": str(self.ksm.run), **shown}

    @property
    def full_scans(self) -> int:
        """Passes completed since the last `run` = 2."""
        return self.ksm.scan.seqnr

    @property
    def pages_scanned(self) -> int:
        """Candidates of cmp_and_merge_page; kernels before 6.6 do not show the count."""
        return self.ksm.counters.pages_scanned

    @property
    def comparisons(self) -> int | None:
        """Calls of memcmp_pages; None where they are not counted."""
        return self.ksm.counters.comparisons if self.ksm.comparisons_known else None

    def has_work(self) -> bool:
        """Whether anybody is registered (ksmd_should_run)."""
        return self.ksm.mm_head.next is not self.ksm.mm_head

    def scan_batch(self) -> None:
        """One round of ksm_scan_thread."""
        ksm_do_scan(self.ksm, self.tunables["pages_to_scan"])

    def mapped(self, mm: Mm, vma: Vma) -> None:
        """New memory is mergeable when the process wants all to be."""
        ksm_add_vma(self.ksm, mm, vma)

    def unmapped(self, mm: Mm) -> None:
        """Nothing: ksmd finds out."""

    def written(self, mm: Mm, first: int, end: int, offset: int, length: int) -> None:
        """Nothing: a page's checksum tells whether it was written to."""

    def madvise(self, mm: Mm, first: int, end: int, *, mergeable: bool) -> None:
        """MADV_MERGEABLE or MADV_UNMERGEABLE."""
        (madvise_mergeable if mergeable else madvise_unmergeable)(self.ksm, mm, first, end)

    def merge_any(self, mm: Mm, *, on: bool) -> None:
        """PR_SET_MEMORY_MERGE."""
        (ksm_enable_merge_any if on else ksm_disable_merge_any)(self.ksm, mm)

    def forked(self, parent: Mm, child: Mm, /) -> None:
        """Register the child as its parent is."""
        ksm_fork(self.ksm, parent, child)

    def exiting(self, mm: Mm) -> None:
        """Let ksmd forget the process."""
        ksm_exit(self.ksm, mm)

    def write_tunable(self, name: str, value: int | str) -> None:
        """Write a file of /sys/kernel/mm/ksm; OSError when the kernel would refuse."""
        store_tunable(self.ksm, name, value)

    def write_run(self, value: int) -> None:
        """Write `run`; OSError when the kernel would refuse."""
        run_store(self.ksm, value)

    def counters(self) -> dict[str, int | None]:
        """The files of /sys/kernel/mm/ksm."""
        return read_counters(self.ksm)

    def readings(self) -> dict[str, int]:
        """The files that there are, and cow_ksm of /proc/vmstat from 5.19 on."""
        found = {name: value for name, value in self.counters().items() if value is not None}
        if "cow_ksm" not in self.ksm.variant.absent_counters:
            found["cow_ksm"] = self.memory.cow_ksm
        return found
