"""The engine as a source: a workload's run as a stream of the same records as a live trace."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ksmtrace.engine.checksum import PAGE_SIZE
from ksmtrace.engine.counters import RMAP_ITEM_SIZE
from ksmtrace.engine.emitter import Emitter
from ksmtrace.engine.simulate import Say, Simulation
from ksmtrace.engine.state import Ksm
from ksmtrace.engine.variant import Variant
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.session import Exactness, Kernel, Probe, Session
from ksmtrace.workload.file import Workload

_SEEN_AT = {
    EventKind.CMP_AND_MERGE_PAGE: "cmp_and_merge_page",
    EventKind.TRY_TO_MERGE_ONE_PAGE: "try_to_merge_one_page",
    EventKind.REPLACE_PAGE: "replace_page",
    EventKind.BREAK_COW: "break_cow",
    EventKind.STABLE_APPEND: "stable_tree_append",
    EventKind.REMOVE_RMAP_ITEM: "remove_rmap_item_from_tree",
    EventKind.REMOVE_STABLE_NODE: "remove_node_from_stable_tree",
    EventKind.SCAN_START: "scan_get_next_rmap_item",
    EventKind.SCAN_STOP: "scan_get_next_rmap_item",
    EventKind.MM_ENTER: "ksm_enter",
    EventKind.MM_EXIT: "ksm_exit",
    EventKind.PROCESS: "ksm_enter, scan_get_next_rmap_item",
    EventKind.SAMPLE: "read_counters",
    EventKind.SKIPPED: "should_skip_rmap_item",
    EventKind.COW_FAULT: "do_wp_page",
    EventKind.TUNABLE: "write_tunable, write_run",
}


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
        nodes: int = 1,
        say: Say = lambda _: None,
        mode: str = "exact",
    ) -> None:
        self._emitter = Emitter()
        self._simulation = Simulation(
            workload, variant=variant, nodes=nodes, watcher=self._emitter, say=say, mode=mode
        )
        self._emitter.take()  # writes of the workload's own tunables: those of the session
        self._stopping = False
        self.session = engine_session(self._simulation.engine.ksm)

    def batches(self) -> Iterator[EventBatch]:
        """A reading of the counters, the events of each batch of ksmd and of each step, a last reading."""
        ksm = self._simulation.engine.ksm
        self._emitter.sample(ksm)
        yield self._emitter.take()
        for _ in self._simulation.run():
            if self._stopping:
                break
            yield self._emitter.take()
        self._emitter.sample(ksm)
        yield self._emitter.take()

    def document(self) -> dict[str, Any]:
        """The document of the run so far, as `simulate` returns it."""
        return self._simulation.document()

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopping = True

    def close(self) -> None:
        """Nothing is held."""


def engine_session(ksm: Ksm) -> Session:
    """The facts of an engine's run: every kind of event is seen exactly, at a function of the engine."""
    absent = ksm.variant.absent_tunables
    probes = {
        kind: Probe(f"engine:{function}", Exactness.EXACT) for kind, function in _SEEN_AT.items()
    }
    if "smart_scan" in absent:
        probes[EventKind.SKIPPED] = Probe("", Exactness.ABSENT, "this version has no smart scan")
    for kind in (EventKind.PROCESS_TEXT, EventKind.PROCESS_SAMPLE):
        probes[kind] = Probe("", Exactness.ABSENT, "the engine has no /proc")
    probes[EventKind.SNAPSHOT] = Probe(
        "", Exactness.ABSENT, "the engine starts with nothing merged"
    )
    shown = {name: str(value) for name, value in ksm.tunables.items() if name not in absent}
    if "advisor_mode" in shown:
        shown["advisor_mode"] = "scan-time" if ksm.tunables["advisor_mode"] else "none"
    return Session(
        source="engine",
        kernel=Kernel(ksm.variant.name, "", "engine", PAGE_SIZE, RMAP_ITEM_SIZE),
        tier="full",
        probes=probes,
        tunables={"run": str(ksm.run), **shown},
    )
