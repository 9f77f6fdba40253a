"""A machine with processes, their memory and ksmd, for a workload or another program to drive."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from ksmtrace.engine.bulk.accelerator import accelerate
from ksmtrace.engine.ksm.ksmd import KsmScanner
from ksmtrace.engine.ksm.state import Ksm
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.machine.faults import read_page, write_pages
from ksmtrace.engine.machine.memory import Mm
from ksmtrace.engine.machine.page_table import Change
from ksmtrace.engine.machine.vmas import dup_mmap, exit_mmap, munmap, zap_range
from ksmtrace.engine.process import Process, groups_of, parts
from ksmtrace.engine.scanning import run_ksmd
from ksmtrace.engine.variants import NEWEST, VARIANTS
from ksmtrace.errors import KsmtraceError

MODES = ("reference", "accelerated")
"""How the engine can work: `ksmtrace.engine` describes both."""


class Engine:
    """A machine that runs one variant of KSM.

    Pages of a region are numbered from 0. Methods that touch memory raise `KsmtraceError` for a
    process or region that is not there, and for pages that are not mapped.

    Args:
        variant: a name of `VARIANTS`, or a variant of one's own.
        tunables: files of /sys/kernel/mm/ksm to write first; the others have the kernel's defaults.
        nodes: NUMA nodes.
        watcher: sees everything that ksmd does.
        mode: "reference" or "accelerated"; counters and events are the same.
        count_comparisons: whether the accelerated mode follows the shape of the kernel's trees, to
            count what searches compare; without that `Scanner.comparisons` is None. The reference
            mode and the relatives of KSM count anyway.

    Attributes:
        scanner: the algorithm at work.
        mode: as above; always "reference" for what is not KSM itself: the accelerator decides as
            those classes alone do.
        memory: all processes' memory.
        processes: by name.

    Raises:
        KsmtraceError: no such variant or mode.
        OSError: the kernel would refuse a tunable.
    """

    def __init__(
        self,
        variant: str | Variant = NEWEST,
        tunables: Mapping[str, int | str] | None = None,
        *,
        nodes: int = 1,
        watcher: Watcher | None = None,
        mode: str = "accelerated",
        count_comparisons: bool = True,
    ) -> None:
        if mode not in MODES:
            raise KsmtraceError(f"no mode {mode}: there are {', '.join(MODES)}")
        self.variant = variant = VARIANTS.named(variant) if isinstance(variant, str) else variant
        self._watcher = Watcher() if watcher is None else watcher
        self.scanner = variant.make(variant, nodes, self._watcher)
        self._nodes = nodes
        self.mode = "reference"
        if mode == "accelerated" and type(self.scanner) is KsmScanner and type(self.ksm) is Ksm:
            self.mode = mode
            accelerate(self.ksm, count_comparisons=count_comparisons)
        self.memory = self.scanner.memory
        self.processes: dict[str, Process] = {}
        for name, value in (tunables or {}).items():
            self.write_tunable(name, value)

    @property
    def ksm(self) -> Ksm:
        """All of ksmd's state.

        Raises:
            KsmtraceError: this variant is a relative of KSM, and has no ksmd.
        """
        if not isinstance(self.scanner, KsmScanner):
            raise KsmtraceError(f"{self.variant.name} has no ksmd")
        return self.scanner.ksm

    def spawn(self, process: str) -> None:
        """A new process without mergeable memory."""
        self._check_new(process)
        self.processes[process] = Process(self.memory.new_mm(process))

    def map(self, process: str, region: str, pages: int, *, huge: bool = False) -> None:
        """Map private anonymous memory above all that the process has; `huge` allows huge pages."""
        owner = self._process(process)
        vma = owner.map(region, pages, huge=huge)
        self.scanner.mapped(owner.mm, vma)
        if owner.advises:
            self.scanner.madvise(owner.mm, vma.start, vma.end, mergeable=True)

    def fill(
        self, process: str, region: str, first: int, pages: int, content: Callable[[int], bytes]
    ) -> None:
        """Write whole pages; `content` gives the 4096 bytes of a page by its number."""
        pool = self.memory.pool
        mm, start, end = self._range(process, region, first, pages)
        self._write(
            mm, start, end, lambda vpn, _: pool.page(content(vpn - start + first)), 0, PAGE_SIZE
        )

    def poke(
        self, process: str, region: str, first: int, pages: int, offset: int, value: int
    ) -> None:
        """Write one byte into each page."""
        pool = self.memory.pool
        mm, start, end = self._range(process, region, first, pages)
        self._write(mm, start, end, lambda _, data: pool.poke(data, offset, value), offset, 1)

    def read(self, process: str, region: str, first: int, pages: int) -> None:
        """Touch pages by reading."""
        mm, start, end = self._range(process, region, first, pages)
        for vma, low, high in parts(mm, start, end):
            for vpn in range(low, high):
                read_page(self.memory, mm, vma, vpn)

    def mergeable(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_MERGEABLE."""
        mm, start, end = self._range(process, region, first, pages)
        self.scanner.madvise(mm, start, end, mergeable=True)

    def unmergeable(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_UNMERGEABLE."""
        mm, start, end = self._range(process, region, first, pages)
        self.scanner.madvise(mm, start, end, mergeable=False)

    def discard(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_DONTNEED."""
        mm, start, end = self._range(process, region, first, pages)
        for vma, low, high in parts(mm, start, end):
            zap_range(self.memory, mm, vma, low, high)

    def unmap(self, process: str, region: str, first: int, pages: int) -> None:
        """Remove pages from the address space (munmap)."""
        mm, start, end = self._range(process, region, first, pages)
        munmap(self.memory, mm, start, end)
        self.scanner.unmapped(mm)

    def fork(self, process: str, child: str) -> None:
        """The process forks."""
        parent = self._process(process)
        self._check_new(child)
        mm = self.memory.new_mm(child)
        dup_mmap(parent.mm, mm)
        self.scanner.forked(parent.mm, mm)
        self.processes[child] = parent.forked(mm)

    def exit(self, process: str) -> None:
        """The process ends."""
        owner = self._process(process)
        self.scanner.exiting(owner.mm)
        exit_mmap(self.memory, owner.mm)
        owner.close_pipes(self.memory)
        del self.processes[process]

    def merge_any(self, process: str, *, on: bool = True, by: str = "prctl") -> None:
        """Make all of a process mergeable, what it has and what it will map.

        Args:
            process: by name.
            on: False takes PR_SET_MEMORY_MERGE back.
            by: "prctl" (PR_SET_MEMORY_MERGE, ksm_enable_merge_any), or "madvise", as a C library
                does that is patched to advise each mapping, also in children.

        Raises:
            KsmtraceError: this version has no PR_SET_MEMORY_MERGE.
        """
        owner = self._process(process)
        if by == "madvise":
            owner.advises = True
            for vma in tuple(owner.mm.vmas):
                self.scanner.madvise(owner.mm, vma.start, vma.end, mergeable=True)
        elif self.variant.memory_merge:
            self.scanner.merge_any(owner.mm, on=on)
        else:
            raise KsmtraceError(f"{self.variant.name} has no PR_SET_MEMORY_MERGE (6.4)")

    def place(self, process: str, region: str, node: int) -> None:
        """Bind a region's pages to a NUMA node, those that are touched from here on (mbind).

        Raises:
            KsmtraceError: there is no such node, or some of the region is not mapped.
        """
        if not 0 <= node < self._nodes:
            raise KsmtraceError(f"there is no NUMA node {node}: the machine has {self._nodes}")
        owner = self._process(process)
        for vma, _, _ in parts(owner.mm, *owner.all_of(region)):
            vma.nid = node
        self.memory.binds = True

    def pin(self, process: str, region: str, first: int, pages: int = 1) -> None:
        """Hold references on pages, as vmsplice into a pipe does; untouched ones are read first.

        They are held until the process, and all that were forked from it since, have ended.
        """
        self.read(process, region, first, pages)
        owner = self._process(process)
        mm, start, end = self._range(process, region, first, pages)
        owner.pin([mm.ptes[vpn] for vpn in range(start, end)])

    def unpin(self, process: str) -> None:
        """Let go of all that the process, alone or with its children, holds by `pin`."""
        self._process(process).unpin(self.memory)

    def write_tunable(self, name: str, value: int | str) -> None:
        """Write a file of /sys/kernel/mm/ksm; OSError when the kernel would refuse."""
        with self._reported(name, value):
            self.scanner.write_tunable(name, value)

    def write_run(self, value: int) -> None:
        """Write `run`: 2 unmerges everything at once; 1 starts no scan, `scan` does."""
        with self._reported("run", value):
            self.scanner.write_run(value)

    def scan_passes(self, passes: int) -> int:
        """`scan` until `full_scans` has grown by `passes`.

        Returns:
            By how many it has grown: fewer when nobody is registered any more.
        """
        return max(self.scan(passes=passes), default=0)

    def scan_batches(self, batches: int) -> int:
        """`scan` for so many batches.

        Returns:
            How many there were: fewer when nobody is registered any more.
        """
        return max(self.scan(batches=batches), default=0)

    def scan(self, *, passes: int = 0, batches: int = 0) -> Iterator[int]:
        """Run ksmd, batch by batch of pages_to_scan pages.

        It ends when what was asked is done, or when nobody is registered.
        A pass that has begun before counts as the first; a batch that comes to the end of a pass
        ends there.

        Yields:
            After each batch: how many passes, or batches, have been done.

        Raises:
            KsmtraceError: pages_to_scan is 0, so that no pass would ever end.
        """
        return run_ksmd(self.scanner, passes=passes, batches=batches)

    def counters(self) -> dict[str, int | None]:
        """What /sys/kernel/mm/ksm shows, by file; None where this version has no such file."""
        return self.scanner.counters()

    def groups(self) -> list[list[str]]:
        """Who shares a physical KSM page with whom, as sorted lists of "process/region/page"."""
        return groups_of(self.processes)

    @contextmanager
    def _reported(self, name: str, value: int | str) -> Iterator[None]:
        """Reports a write and its outcome to the watcher, except to a file that is not there."""
        try:
            yield
        except OSError as error:
            if error.errno != errno.ENOENT:
                self._watcher.tunable_written(name, str(value), -(error.errno or errno.EINVAL))
            raise
        self._watcher.tunable_written(name, str(value), 0)

    def _check_new(self, process: str) -> None:
        if process in self.processes:
            raise KsmtraceError(f"there is a process {process} already")

    def _process(self, name: str) -> Process:
        if name not in self.processes:
            raise KsmtraceError(f"no process {name}")
        return self.processes[name]

    def _range(self, process: str, region: str, first: int, pages: int) -> tuple[Mm, int, int]:
        owner = self._process(process)
        return owner.mm, *owner.vpns(region, first, pages)

    def _write(
        self, mm: Mm, start: int, end: int, change: Change, offset: int, length: int
    ) -> None:
        for vma, low, high in parts(mm, start, end):
            write_pages(self.memory, mm, vma, low, high, change)
        self.scanner.written(mm, start, end, offset, length)
