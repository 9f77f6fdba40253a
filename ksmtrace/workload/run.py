"""Runs a workload step by step on a machine, the engine or this kernel, and notes snapshots."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ksmtrace import SCHEMA_VERSION, __version__
from ksmtrace.errors import KsmtraceError
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.tunables import RefusedError, Tunables, is_default_without

Say = Callable[[str], None]


class Machine(Protocol):
    """Processes, their memory and ksmd: methods are the ops of `ksmtrace.workload.steps.OPS`.

    Pages of a region are numbered from 0. A method raises `KsmtraceError` where it cannot be done.
    """

    def spawn(self, process: str) -> None:
        """Start a process without mergeable memory."""

    def map(self, process: str, region: str, pages: int, *, huge: bool = False) -> None:
        """Map private anonymous memory; `huge` allows huge pages."""

    def fill(self, process: str, region: str, first: int, pages: int, content: Content) -> None:
        """Write whole pages."""

    def poke(
        self, process: str, region: str, first: int, pages: int, offset: int, value: int
    ) -> None:
        """Write one byte into each page."""

    def read(self, process: str, region: str, first: int, pages: int) -> None:
        """Touch pages by reading."""

    def mergeable(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_MERGEABLE."""

    def unmergeable(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_UNMERGEABLE."""

    def discard(self, process: str, region: str, first: int, pages: int) -> None:
        """MADV_DONTNEED."""

    def unmap(self, process: str, region: str, first: int, pages: int) -> None:
        """Munmap."""

    def place(self, process: str, region: str, node: int) -> None:
        """Bind the pages of a region that are touched from here on to a NUMA node (mbind)."""

    def pin(self, process: str, region: str, first: int, pages: int) -> None:
        """Hold references on pages as vmsplice does, until the process and its children end."""

    def merge_any(self, process: str, *, on: bool, by: str) -> None:
        """All private memory, present and to come, also of children: by `prctl` or `madvise`."""

    def fork(self, process: str, child: str) -> None:
        """The process forks."""

    def exit(self, process: str) -> None:
        """The process ends."""

    def write_tunable(self, name: str, value: int | str) -> None:
        """Write a file of /sys/kernel/mm/ksm; OSError if it is refused, ENOENT if there is none."""

    def write_run(self, value: int) -> None:
        """Write `run`; OSError if it is refused."""

    def scan(self, *, passes: int = 0, batches: int = 0) -> Iterator[int]:
        """Run ksmd for so many passes or batches.

        Yields how many are done, now and then and at the end; fewer than asked for when no process
        is registered any more.
        """

    def counters(self) -> dict[str, int | None]:
        """The counters of /sys/kernel/mm/ksm by file; None for one that is not there."""

    def groups(self) -> list[list[str]] | None:
        """Who shares a KSM page with whom, as "process/region/page"; None if it cannot be known."""


class WorkloadRun:
    """A run of a workload, carried out bit by bit.

    Args:
        workload: what to run; its tunables are written at once.
        machine: what to run it on.
        about: what `document` holds of the machine: `variant` is its name, None for a kernel.
        say: called with lines that the user should read besides.

    Raises:
        RefusedError: the kernel refuses a tunable, or the engine as the kernel would.
        KsmtraceError: the machine has no such tunable, and works otherwise than with this value.
    """

    def __init__(
        self, workload: Workload, machine: Machine, about: Mapping[str, Any], say: Say
    ) -> None:
        self._workload = workload
        self._machine = machine
        self._about = about
        self._say = say
        self._snapshots: list[dict[str, Any]] = []
        self._write(None, workload.tunables)

    def run(self) -> Iterator[int]:
        """Carry out the steps; yields a step's number after it, and now and then within a scan.

        Raises:
            RefusedError: a tunable is refused.
            KsmtraceError: a step cannot be carried out.
        """
        for number, step in enumerate(self._workload.steps):
            try:
                if step.op == "scan":
                    for _ in self._scan(number, **step.arguments):
                        yield number
                else:
                    self._do(number, step)
            except RefusedError:
                raise
            except KsmtraceError as error:
                raise KsmtraceError(f"step {number} ({step.op}): {error}", error.status) from error
            yield number

    def document(self) -> dict[str, Any]:
        """The run so far, as `ksmtrace simulate --json` prints it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "name": self._workload.name,
            **self._about,
            "snapshots": self._snapshots,
        }

    def _do(self, number: int, step: Step) -> None:
        arguments = step.arguments
        match step.op:
            case "set":
                self._write(number, arguments["tunables"])
            case "run":
                self._write_run(number, arguments["value"])
            case "snapshot":
                self._snapshot(number, arguments["name"], groups=arguments["groups"])
            case op:
                getattr(self._machine, op)(**arguments)

    def _scan(self, number: int, passes: int = 0, batches: int = 0) -> Iterator[int]:
        wanted, unit = (passes, "passes") if passes else (batches, "batches")
        done = 0
        for done in self._machine.scan(passes=passes, batches=batches):
            yield done
        if done < wanted:
            self._say(
                f"step {number} (scan): ended after {done} of {wanted} {unit}: "
                "no process is registered any more"
            )
        self._snapshot(number, "scan", groups=False)

    def _snapshot(self, number: int, name: str, *, groups: bool) -> None:
        found = self._machine.groups() if groups else None
        if groups and found is None:
            self._say(
                f"step {number} (snapshot): no groups: "
                "this kernel's kpageflags call every page a KSM page"
            )
        self._snapshots.append(
            {"step": number, "name": name, "counters": self._machine.counters(), "groups": found}
        )

    def _write(self, number: int | None, tunables: Tunables) -> None:
        for name, value in tunables.items():
            try:
                self._machine.write_tunable(name, value)
            except OSError as error:
                code = error.errno or 0
                if code == errno.ENOENT and is_default_without(name, value):
                    continue
                if code == errno.ENOENT:
                    title = self._about["variant"] or "this kernel"
                    raise KsmtraceError(f"{title} has no {name}") from error
                raise RefusedError(number, name, value, code) from error

    def _write_run(self, number: int, value: int) -> None:
        try:
            self._machine.write_run(value)
        except OSError as error:
            raise RefusedError(number, "run", value, error.errno or 0) from error
