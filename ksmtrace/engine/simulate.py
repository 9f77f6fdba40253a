"""Runs a workload on the engine; the document it makes is the one that a kernel's run makes."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import Any

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.errors import KsmtraceError
from ksmtrace.workload.file import Step, Workload
from ksmtrace.workload.steps import ended_early
from ksmtrace.workload.tunables import RefusedError, Tunables, is_default_without

Say = Callable[[str], None]


def simulate(
    workload: Workload,
    *,
    variant: str | Variant | None = None,
    nodes: int = 1,
    watcher: Watcher | None = None,
    say: Say = lambda _: None,
    mode: str = "accelerated",
    count_comparisons: bool = True,
) -> dict[str, Any]:
    """The document of a run: its snapshots, as `ksmtrace simulate --json` prints it.

    Args:
        workload: what to run.
        variant: instead of the workload's own.
        nodes: NUMA nodes of the machine.
        watcher: told of everything that ksmd does.
        say: told what the user should know besides.
        mode: of the engine, one of `MODES`.
        count_comparisons: of the engine.

    Raises:
        RefusedError: the kernel would refuse a tunable.
        KsmtraceError: a step cannot be carried out.
    """
    simulation = Simulation(
        workload,
        variant=variant,
        nodes=nodes,
        watcher=watcher,
        say=say,
        mode=mode,
        count_comparisons=count_comparisons,
    )
    for _ in simulation.run():
        pass
    return simulation.document()


class Simulation:
    """A run of a workload, to be carried out bit by bit.

    Attributes:
        engine: the machine, which may be looked at between two bits.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        variant: str | Variant | None = None,
        nodes: int = 1,
        watcher: Watcher | None = None,
        say: Say = lambda _: None,
        mode: str = "accelerated",
        count_comparisons: bool = True,
    ) -> None:
        self.engine = Engine(
            variant or workload.variant,
            nodes=nodes,
            watcher=watcher,
            mode=mode,
            count_comparisons=count_comparisons,
        )
        self._workload = workload
        self._say = say
        self._snapshots: list[dict[str, Any]] = []
        self._write(None, workload.tunables)

    def run(self) -> Iterator[int]:
        """Carry out the steps; yields the number of the step after each, and after each batch of ksmd within one.

        Raises:
            RefusedError: the kernel would refuse a tunable.
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
        """The document so far."""
        return {
            "name": self._workload.name,
            "on": "engine",
            "variant": self.engine.variant.name,
            "mode": self.engine.mode,
            "kernel": None,
            "snapshots": self._snapshots,
        }

    def _do(self, number: int, step: Step) -> None:
        arguments = step.arguments
        match step.op:
            case "fill":
                rest = {key: value for key, value in arguments.items() if key != "content"}
                self.engine.fill(**rest, content=arguments["content"].page)
            case "set":
                self._write(number, arguments["tunables"])
            case "run":
                self.engine.write_run(arguments["value"])
            case "snapshot":
                self._snapshot(number, arguments["name"], groups=arguments["groups"])
            case op:
                getattr(self.engine, op)(**arguments)

    def _scan(self, number: int, passes: int = 0, batches: int = 0) -> Iterator[int]:
        wanted, unit = (passes, "passes") if passes else (batches, "batches")
        done = 0
        for done in self.engine.scan(passes=passes, batches=batches):
            yield done
        if done < wanted:
            self._say(ended_early(number, done, wanted, unit))
        self._snapshot(number, "scan", groups=False)

    def _snapshot(self, number: int, name: str, *, groups: bool) -> None:
        found = self.engine.groups() if groups else None
        self._snapshots.append(
            {"step": number, "name": name, "counters": self.engine.counters(), "groups": found}
        )

    def _write(self, number: int | None, tunables: Tunables) -> None:
        for name, value in tunables.items():
            try:
                self.engine.write_tunable(name, value)
            except OSError as error:
                code = error.errno or 0
                if code == errno.ENOENT and is_default_without(name, value):
                    continue
                if code == errno.ENOENT:
                    variant = self.engine.variant.name
                    raise KsmtraceError(f"{variant} has no {name}") from error
                raise RefusedError(number, name, value, code) from error
