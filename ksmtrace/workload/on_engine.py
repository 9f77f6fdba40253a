"""Runs a workload on the reference engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.variants import VARIANTS
from ksmtrace.workload.file import Workload
from ksmtrace.workload.run import Say, WorkloadRun


def simulate(
    workload: Workload,
    *,
    variant: str | Variant | None = None,
    nodes: int | None = None,
    watcher: Watcher | None = None,
    say: Say = lambda _: None,
    mode: str = "accelerated",
    count_comparisons: bool = True,
    done: Callable[[int], object] = lambda _: None,
) -> dict[str, Any]:
    """The document of a run: its snapshots, as `ksmtrace simulate --json` prints it.

    Args:
        workload: what to run.
        variant: instead of the workload's own.
        nodes: NUMA nodes of the machine, instead of the workload's own number.
        watcher: its methods are called for everything that ksmd does.
        say: called with lines that the user should read besides.
        mode: of the engine, one of `ksmtrace.engine.engine.MODES`.
        count_comparisons: of the engine.
        done: called with the number of the step under way, now and then.

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
    for number in simulation.run():
        done(number)
    return simulation.document()


class Simulation(WorkloadRun):
    """A run on the engine, carried out bit by bit; a scan yields after each batch.

    Attributes:
        engine: the machine, which may be looked at between two bits.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        variant: str | Variant | None = None,
        nodes: int | None = None,
        watcher: Watcher | None = None,
        say: Say = lambda _: None,
        mode: str = "accelerated",
        count_comparisons: bool = True,
    ) -> None:
        chosen = variant or workload.variant
        chosen = VARIANTS.named(chosen) if isinstance(chosen, str) else chosen
        with VARIANTS.blamed(chosen):
            self.engine = Engine(
                chosen,
                nodes=nodes or workload.nodes,
                watcher=watcher,
                mode=mode,
                count_comparisons=count_comparisons,
            )
        about = {
            "on": "engine",
            "variant": self.engine.variant.name,
            "mode": self.engine.mode,
            "kernel": None,
        }
        with VARIANTS.blamed(chosen):
            super().__init__(workload, self.engine, about, say)

    def run(self) -> Iterator[int]:
        """As `WorkloadRun.run`."""
        with VARIANTS.blamed(self.engine.variant):
            yield from super().run()
