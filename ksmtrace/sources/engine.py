"""The engine as a source: a workload's run as a stream of the same records as a live trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.trace.visibility import engine_session
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventBatch
from ksmtrace.workload.file import Workload
from ksmtrace.workload.on_engine import Simulation
from ksmtrace.workload.run import Say


class EngineSource:
    """A `Source` that runs a workload.

    Attributes:
        session: what the run is; its kernel's release is the variant's name.

    Raises:
        KsmtraceError: as `Simulation`.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        variant: str | Variant | None = None,
        nodes: int | None = None,
        say: Say = lambda _: None,
        mode: str = "accelerated",
        count_comparisons: bool = True,
    ) -> None:
        self._emitter = Emitter()
        self._simulation = Simulation(
            workload,
            variant=variant,
            nodes=nodes,
            watcher=self._emitter,
            say=say,
            mode=mode,
            count_comparisons=count_comparisons,
        )
        self._emitter.take()  # writes of the workload's own tunables: those of the session
        self._stopping = False
        scanner = self._simulation.engine.scanner
        self.session = engine_session(self._simulation.engine.variant, scanner)

    def batches(self) -> Iterator[EventBatch]:
        """Readings of the counters first and last; in between, the events of batches and steps.

        Raises:
            KsmtraceError: a step cannot be carried out; what it did until then has been yielded.
        """
        scanner = self._simulation.engine.scanner
        self._emitter.sample(scanner.readings())
        yield self._emitter.take()
        try:
            for _ in self._simulation.run():
                if self._stopping:
                    break
                yield self._emitter.take()
        except KsmtraceError:
            yield self._emitter.take()
            raise
        self._emitter.sample(scanner.readings())
        yield self._emitter.take()

    def document(self) -> dict[str, Any]:
        """The document of the run so far, as `simulate` returns it."""
        return self._simulation.document()

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping = True

    def close(self) -> None:
        """Nothing is held."""
