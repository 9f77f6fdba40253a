"""Runs a workload on this machine's kernel: real processes, and ksmd stepped batch by batch."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.kernel.files import number, read_lines
from ksmtrace.kernel.host import read_kernel
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Workload
from ksmtrace.workload.footprint import Footprint
from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.interruption import Interruption
from ksmtrace.workload.khugepaged import KhugepagedAsleep
from ksmtrace.workload.on_kernel_snapshot import Counters, Layout, check_clean, read_groups
from ksmtrace.workload.processes import Processes
from ksmtrace.workload.run import Say, WorkloadRun
from ksmtrace.workload.tunables import DEFAULTS, RefusedError

_WORKER_BYTES = 16 * 1024 * 1024


def run_on_kernel(workload: Workload, say: Say) -> dict[str, Any]:
    """The document of a run: its snapshots, as `ksmtrace simulate --json` prints it.

    KSM is borrowed and put back, whatever happens. `say` is called with lines for the user.

    Raises:
        RefusedError: the kernel refuses a tunable.
        HostError: this host cannot run it.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    with Interruption() as interruption, ExitStack() as stack:
        guard = KsmGuard(clean=True, alone=True, waiting=interruption.allowed)
        _check_room(workload)
        _check_nodes(workload)
        ksm = stack.enter_context(guard)
        if any(step.arguments.get("huge") for step in workload.steps):
            stack.enter_context(KhugepagedAsleep(ksm.restore_also))
        processes = stack.enter_context(Processes())
        with interruption.allowed():
            return _run(workload, KernelMachine(ksm, processes), say)


def _run(workload: Workload, machine: KernelMachine, say: Say) -> dict[str, Any]:
    about = {"on": "kernel", "variant": None, "kernel": machine.kernel.release}
    try:
        run = WorkloadRun(workload, machine, about, say)
        for _ in run.run():
            pass
    except RefusedError:
        raise
    except KsmtraceError as error:
        raise HostError(str(error)) from error
    return run.document()


def _check_room(workload: Workload) -> None:
    """Refuse what would not fit: to find out by running would end other people's processes."""
    footprint = Footprint()
    for step in workload.steps:
        footprint.apply(step.op, dict(step.arguments))
    need = footprint.most_pages * PAGE_SIZE + footprint.most_processes * _WORKER_BYTES
    for line in read_lines(Path("/proc/meminfo")):
        name, _, rest = line.partition(":")
        kibibytes = number(rest.removesuffix("kB").strip())
        if name == "MemAvailable" and kibibytes is not None and kibibytes * 1024 < need:
            raise HostError(
                f"the workload needs {need >> 20} MiB of memory, "
                f"of which {kibibytes >> 10} MiB are available"
            )


def _check_nodes(workload: Workload) -> None:
    nodes = len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or 1
    if nodes < workload.nodes:
        raise HostError(f"the workload needs {workload.nodes} NUMA nodes, this machine has {nodes}")


class KernelMachine:
    """This machine's kernel as a `ksmtrace.workload.run.Machine`, with KSM as after boot.

    Args:
        ksm: KSM, borrowed; ksmd is stopped, and tunables get the kernel's defaults.
        processes: carries out what the workload's processes do.

    Attributes:
        kernel: which kernel it is.

    Raises:
        HostError: the kernel's pages are not of 4096 bytes, or KSM holds pages of others.
        RefusedError: the kernel refuses a default.
    """

    def __init__(self, ksm: KsmGuard, processes: Processes) -> None:
        self.kernel = read_kernel()
        if self.kernel.page_size_bytes != PAGE_SIZE:
            raise HostError(
                f"workloads are made of pages of {PAGE_SIZE} bytes, this kernel's differ"
            )
        self._ksm = ksm
        self._processes = processes
        self._layout = Layout()
        ksm.ksmd.park()
        check_clean(ksm)
        self._write_defaults()
        self._counters = Counters()

    def spawn(self, process: str) -> None:
        """Start a process."""
        self._processes.spawn(process)
        self._layout.spawn(process)

    def map(self, process: str, region: str, pages: int, *, huge: bool = False) -> None:
        """Map private anonymous memory."""
        answer = self._processes.do(process, "map", region=region, pages=pages, huge=huge)
        self._layout.map(process, region, pages, **answer)

    def fill(self, process: str, region: str, first: int, pages: int, content: Content) -> None:
        """Write whole pages."""
        self._reach("fill", process, region, first, pages, content=content)

    def poke(
        self, process: str, region: str, first: int, pages: int, offset: int, value: int
    ) -> None:
        """Write one byte into each page."""
        self._reach("poke", process, region, first, pages, offset=offset, value=value)

    def read(self, process: str, region: str, first: int, pages: int) -> None:
        """Touch pages by reading."""
        self._reach("read", process, region, first, pages)

    def mergeable(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_MERGEABLE."""
        self._reach("mergeable", process, region, first, pages)

    def unmergeable(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_UNMERGEABLE."""
        self._reach("unmergeable", process, region, first, pages)

    def discard(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_DONTNEED."""
        self._reach("discard", process, region, first, pages)

    def unmap(self, process: str, region: str, first: int, pages: int) -> None:
        """Munmap."""
        self._reach("unmap", process, region, first, pages)

    def place(self, process: str, region: str, node: int) -> None:
        """Mbind."""
        self._processes.do(process, "place", region=region, node=node)

    def pin(self, process: str, region: str, first: int, pages: int) -> None:
        """Vmsplice."""
        self._reach("pin", process, region, first, pages)

    def merge_any(self, process: str, *, on: bool, by: str) -> None:
        """PR_SET_MEMORY_MERGE, or MADV_MERGEABLE now and with each mapping."""
        self._processes.do(process, "merge_any", on=on, by=by)

    def fork(self, process: str, child: str) -> None:
        """The process forks."""
        self._processes.do(process, "fork", child=child)
        self._layout.fork(process, child)

    def exit(self, process: str) -> None:
        """The process ends."""
        self._processes.exit(process)
        self._layout.exit(process)

    def write_tunable(self, name: str, value: int | str) -> None:
        """Write a tunable, except sleep_millisecs: ksmd is stepped."""
        if name == "sleep_millisecs":
            return
        if not self._ksm.has(name):
            raise FileNotFoundError(errno.ENOENT, "no such tunable", name)
        self._ksm.write(name, value)

    def write_run(self, value: int) -> None:
        """Write `run`."""
        self._ksm.write("run", value)

    def scan(self, *, passes: int = 0, batches: int = 0) -> Iterator[int]:
        """Step ksmd."""
        if passes:
            yield self._ksm.ksmd.scan(passes)
        for done in range(1, batches + 1):
            if not self._ksm.ksmd.batch():
                return
            yield done

    def counters(self) -> dict[str, int | None]:
        """The kernel's counters; those that only grow count from the beginning of the run."""
        return self._counters.read()

    def groups(self) -> list[list[str]] | None:
        """Who shares, by page frame; None where the kernel does not say which are KSM's."""
        return read_groups(self._layout, self._processes.pids)

    def _reach(
        self, op: str, process: str, region: str, first: int, pages: int, **rest: object
    ) -> None:
        self._processes.do(process, op, region=region, first=first, pages=pages, **rest)

    def _write_defaults(self) -> None:
        for name, value in DEFAULTS.items():
            if self._ksm.has(name):
                try:
                    self.write_tunable(name, value)
                except OSError as error:
                    raise RefusedError(None, name, value, error.errno or 0) from error
