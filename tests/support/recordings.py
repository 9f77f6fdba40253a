"""Captures of the engine's runs, and random workloads that a capture determines completely."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.events import EventBatch
from ksmtrace.sources.engine import EngineSource
from ksmtrace.whatif.capture_case import capture_case
from ksmtrace.whatif.case import Case
from ksmtrace.workload.file import Step, Workload
from support.random_workloads import sample_workloads

_PREPARING = {"spawn", "map", "fill", "poke", "scan"}
_WRITING = _PREPARING | {"discard", "unmap", "exit"}


def record(workload: Workload, path: Path, skip: int = 0) -> Path:
    """Write the capture of a run, without its first `skip` batches."""
    source = EngineSource(workload)
    return write(path, source, list(source.batches())[skip:])


def write(path: Path, source: EngineSource, batches: Iterable[EventBatch]) -> Path:
    """Write batches of the source's session as a capture."""
    with CaptureWriter(path, source.session) as capture:
        for batch in batches:
            capture.write(batch.events)
    return path


def recorded_case(workload: Workload, path: Path, skip: int = 0) -> Case:
    """The case that the capture of a run tells."""
    return capture_case(record(workload, path, skip))[0]


@cache
def visible_workloads(count: int, *, writes: bool, forks: bool = False) -> list[Workload]:
    """Random workloads whose memory is mergeable from the start and whose steps fall between
    passes.

    Without `writes`, nothing changes once the scan has begun. With `forks`, processes fork, of
    which a capture tells less.
    """
    made = []
    for workload in sample_workloads(count, number=5):
        tunables = {**workload.tunables, "pages_to_scan": 100_000}
        if writes:
            tunables |= {"smart_scan": 0, "use_zero_pages": 0}
        steps = tuple(_told(workload.steps, writes=writes, forks=forks))
        made.append(replace(workload, tunables=tunables, steps=steps))
    return made


def _told(steps: Iterable[Step], *, writes: bool, forks: bool) -> Iterable[Step]:
    known: set[str] = set()
    scanned = False
    wanted = (_WRITING if writes else _PREPARING) | ({"fork"} if forks else set())
    for step in steps:
        scanned |= step.op == "scan"
        if step.op not in wanted or (scanned and not writes and step.op != "scan"):
            continue
        arguments = step.arguments
        if step.op == "spawn":
            known.add(arguments["process"])
        elif "process" in arguments and arguments["process"] not in known:
            continue
        if step.op == "fork":
            known.add(arguments["child"])
        yield step
        if step.op == "map":
            reach = {key: arguments[key] for key in ("process", "region", "pages")}
            yield Step("mergeable", {**reach, "first": 0})
