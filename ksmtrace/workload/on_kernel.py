"""Runs a workload on this machine's kernel, with real processes and ksmd stepped batch by batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.kernel.host import read_kernel
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.interruption import Interruption
from ksmtrace.workload.khugepaged import KhugepagedAsleep
from ksmtrace.workload.on_kernel_snapshot import Counters, Layout, check_clean, read_groups
from ksmtrace.workload.outline import Outline
from ksmtrace.workload.processes import Processes
from ksmtrace.workload.steps import ended_early
from ksmtrace.workload.tunables import DEFAULTS, RefusedError, Tunables, is_default_without

Say = Callable[[str], None]

_PAGE = 4096
_ACTOR_BYTES = 16 * 1024 * 1024


def run_on_kernel(workload: Workload, say: Say) -> dict[str, Any]:
    """The document of a run: its snapshots, as `ksmtrace simulate --json` prints it.

    KSM is borrowed and put back, whatever happens. `say` is told what the user should know besides.

    Raises:
        RefusedError: the kernel refuses a tunable.
        HostError: this host cannot run it.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    with Interruption() as interruption, ExitStack() as stack:
        guard = KsmGuard(clean=True, alone=True, waiting=interruption.allowed)
        _check_room(workload)
        ksm = stack.enter_context(guard)
        if any(step.arguments.get("huge") for step in workload.steps):
            stack.enter_context(KhugepagedAsleep(ksm.restore_also))
        processes = stack.enter_context(Processes())
        with interruption.allowed():
            return _Run(workload, ksm, processes, say).document()


def _check_room(workload: Workload) -> None:
    """Refuse what would not fit: to find out by running would end other people's processes."""
    outline = Outline()
    spawned = 0
    for step in workload.steps:
        outline.apply(step.op, dict(step.arguments))
        spawned += step.op in ("spawn", "fork")
    need = outline.most_pages * _PAGE + spawned * _ACTOR_BYTES
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:") and int(line.split()[1]) * 1024 < need:
            raise HostError(
                f"the workload needs {need >> 20} MiB of memory, of which {int(line.split()[1]) >> 10} "
                "MiB are available"
            )


class _Run:
    def __init__(self, workload: Workload, ksm: KsmGuard, processes: Processes, say: Say) -> None:
        self._workload = workload
        self._ksm = ksm
        self._processes = processes
        self._say = say
        self._layout = Layout()
        self._snapshots: list[dict[str, Any]] = []

    def document(self) -> dict[str, Any]:
        kernel = read_kernel()
        if kernel.page_size_bytes != _PAGE:
            raise HostError(f"workloads are made of pages of {_PAGE} bytes, this kernel's differ")
        self._ksm.ksmd.park()
        check_clean(self._ksm)
        self._write(None, {name: DEFAULTS[name] for name in DEFAULTS if self._ksm.has(name)})
        self._write(None, self._workload.tunables)
        self._counters = Counters()
        for number, step in enumerate(self._workload.steps):
            try:
                self._do(number, step)
            except RefusedError:
                raise
            except KsmtraceError as error:
                raise HostError(f"step {number} ({step.op}): {error}") from error
        return {
            "name": self._workload.name,
            "on": "kernel",
            "variant": None,
            "kernel": kernel.release,
            "snapshots": self._snapshots,
        }

    def _do(self, number: int, step: Step) -> None:
        arguments = step.arguments
        match step.op:
            case "spawn":
                self._processes.spawn(arguments["process"])
                self._layout.spawn(arguments["process"])
            case "exit":
                self._processes.exit(arguments["process"])
                self._layout.exit(arguments["process"])
            case "set":
                self._write(number, arguments["tunables"])
            case "run":
                self._write(number, {"run": arguments["value"]})
            case "scan":
                self._scan(number, **arguments)
            case "snapshot":
                self._snapshot(number, arguments["name"], groups=arguments["groups"])
            case op:
                rest = {key: value for key, value in arguments.items() if key != "process"}
                answer = self._processes.do(arguments["process"], op, **rest)
                if op == "map":
                    self._layout.map(arguments["process"], rest["region"], rest["pages"], **answer)
                elif op == "fork":
                    self._layout.fork(arguments["process"], rest["child"])

    def _scan(self, number: int, passes: int | None = None, batches: int | None = None) -> None:
        ksmd = self._ksm.ksmd
        if passes is not None:
            wanted, unit, done = passes, "passes", ksmd.scan(passes)
        else:
            wanted, unit, done = batches or 0, "batches", 0
            while done < wanted and ksmd.batch():
                done += 1
        if done < wanted:
            self._say(ended_early(number, done, wanted, unit))
        self._snapshot(number, "scan", groups=False)

    def _snapshot(self, number: int, name: str, *, groups: bool) -> None:
        found = read_groups(self._layout, self._processes.pids) if groups else None
        if groups and found is None:
            self._say(
                f"step {number} (snapshot): no groups: this kernel's kpageflags call every page a KSM page"
            )
        self._snapshots.append(
            {"step": number, "name": name, "counters": self._counters.read(), "groups": found}
        )

    def _write(self, number: int | None, tunables: Tunables) -> None:
        for name, value in tunables.items():
            if name == "sleep_millisecs":
                continue  # ksmd is stepped
            if not self._ksm.has(name):
                if is_default_without(name, value):
                    continue
                raise HostError(f"this kernel has no {name}")
            try:
                self._ksm.write(name, value)
            except OSError as error:
                raise RefusedError(number, name, value, error.errno or 0) from error
