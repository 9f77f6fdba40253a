"""The bundled capture as worse probes would have recorded it, and its answers."""

from dataclasses import replace

from ksmtrace.events import EventBatch, EventKind, Flag
from ksmtrace.pipeline.manager import build_manager
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.pipeline.snapshot import Snapshot
from ksmtrace.plugins import BUILTINS, Role
from ksmtrace.session import Exactness, Probe, Session
from ksmtrace.sources.capture import CaptureSource

_COUNTERS = {
    EventKind.CMP_AND_MERGE_PAGE: "pages_scanned",
    EventKind.SKIPPED: "pages_skipped",
    EventKind.COW_FAULT: "cow_ksm",
}
"""Kinds of which only the kernel's total is known where functions cannot be probed."""

_TRACEPOINTS = (
    *(EventKind.TRY_TO_MERGE_ONE_PAGE, EventKind.REPLACE_PAGE, EventKind.BREAK_COW),
    *(EventKind.STABLE_APPEND, EventKind.REMOVE_STABLE_NODE),
    *(EventKind.SCAN_START, EventKind.SCAN_STOP, EventKind.MM_ENTER, EventKind.MM_EXIT),
    EventKind.PROCESS,
)
_READ = (
    *(EventKind.SAMPLE, EventKind.SNAPSHOT, EventKind.TUNABLE),
    *(EventKind.PROCESS_TEXT, EventKind.PROCESS_SAMPLE),
)
TIERS = {"full": tuple(EventKind), "tracepoint": (*_TRACEPOINTS, *_READ), "sysfs": _READ}
"""Kinds of events that each tier has."""


class AtTier:
    """A capture's source, as if only the probes of `tier` had been there."""

    def __init__(self, path, tier: str) -> None:
        self._capture = CaptureSource(path, speed=None)
        self._tier = tier
        self.session = session_at(self._capture.session, tier)
        self.warnings = []

    def batches(self):
        if self._tier == "full":
            yield from self._capture.batches()
            return
        for batch in self._capture.batches():
            rows = [batch.where(kind) for kind in TIERS[self._tier]]
            kept = batch.events[sum(rows[1:], start=rows[0])].copy()
            # only the probe reads counters as a pass ends
            at_stop = (kept["kind"] == EventKind.SAMPLE) & (
                kept["flags"] & int(Flag.AT_SCAN_STOP) != 0
            )
            yield EventBatch(kept[~at_stop])

    def stop(self) -> None:
        self._capture.stop()

    def close(self) -> None:
        self._capture.close()


def session_at(session: Session, tier: str) -> Session:
    """The session as that tier's probes would have it."""
    if tier == "full":
        return session
    probes = dict(session.probes)
    for kind in EventKind:
        if kind in TIERS[tier] or kind is EventKind.LOST:
            continue
        probes[kind] = Probe("", Exactness.ABSENT, "not at this tier")
        if kind in _COUNTERS:
            why = "the kernel's total alone: not one by one"
            via = f"/sys/kernel/mm/ksm {_COUNTERS[kind]}"
            probes[kind] = Probe(via, Exactness.SAMPLED, why, _COUNTERS[kind])
    return replace(session, tier=tier, probes=probes)


def answered(path, tier: str = "full", *more: str) -> Snapshot:
    """The final state of a replay at that tier, with every analyzer."""
    without = [f"no:{builtin.name}" for builtin in BUILTINS if builtin.role is Role.SINK]
    manager = build_manager([*without, *more])
    run = Runner(AtTier(path, tier), manager, RunOptions(interval=3600), fail_fast=True)
    snapshot = run.run()
    assert snapshot.document
    assert snapshot.sections is not None
    return snapshot
