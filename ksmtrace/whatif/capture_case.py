"""Makes a case for whatif of a capture, with a list of what the capture leaves to be assumed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ksmtrace.capture.decoded import MOST_BATCH_BYTES
from ksmtrace.capture.reader import open_capture
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.tunables_shadow import TunablesShadow
from ksmtrace.engine.variants import KERNELS, is_no_ksm, variant_of
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventKind, Gauge
from ksmtrace.events.cut import cut
from ksmtrace.events.readings import Reading, ReadingTracker
from ksmtrace.session import Exactness, Session
from ksmtrace.whatif.builder import WARM_UP_PASSES, build_steps
from ksmtrace.whatif.capture_reader import CaptureReader
from ksmtrace.whatif.case import Case, KernelPoint
from ksmtrace.whatif.case_tunables import CaseTunables
from ksmtrace.workload.file import Workload
from ksmtrace.workload.tunables import Tunables, check_tunables

_ALWAYS = (
    "contents are known by their 32-bit checksums: pages with equal ones count as equal, "
    "also if they were never merged",
    "what lies between two scans of a page is not seen: a page counts as written once, all of it, "
    "just before the pass that found it changed",
    "pages that ksmd never examined are not there: not mergeable, never present while it came by, "
    "or swapped out",
    "a pass sees what the pass of the same number saw, however long it would have taken: "
    "nothing is known of time",
    "pages are small ones on one NUMA node, and their order in the trees is not that of the real "
    "contents: comparisons are typical",
)


def capture_case(path: Path, most_batch_bytes: int = MOST_BATCH_BYTES) -> tuple[Case, list[str]]:
    """The case of the capture at `path`, and warnings about what is missing from the file.

    Raises:
        KsmtraceError: it cannot be read, or holds no candidates or no complete pass.
    """
    with open_capture(path, most_batch_bytes=most_batch_bytes) as capture:
        session = capture.session
        _check(session, path)
        variant = variant_of(session.kernel.release, session.tunables).name
        writes = CaseTunables(TunablesShadow(KERNELS[variant], session.tunables))
        checks_first = KERNELS[variant].checks_before_stable_tree
        reader = CaptureReader(
            checks_first=checks_first, tunables=writes, derives=session.derives_writes
        )
        readings = ReadingTracker()
        points: dict[int, KernelPoint] = {}
        for batch in capture.batches():
            for part in cut(batch):
                reader.apply(part)
                for point in map(_kernel_point, readings.apply(part)):
                    if point is not None and reader.passes:
                        points.setdefault(reader.passes - 1, point)
        warnings = list(capture.warnings)
    if not reader.passes:
        raise KsmtraceError(f"{path}: no pass of ksmd was seen whole: record for longer")
    tunables, ignored = _tunables(session, variant)
    built = build_steps(reader)
    case = Case(
        source="capture",
        name=path.name,
        workload=Workload(path.name, variant, tunables, built.steps),
        warm_up_steps=built.warm_up_steps,
        passes=reader.passes,
        kernel_points=points,
        totals=(reader.examined, reader.cow_breaks),
        assumptions=(
            *_guess(session.kernel.release, variant),
            *ignored,
            *_of_tunables(session, reader, tunables),
            *_of_writes(writes),
            *_of_this_run(session, reader),
            *_ALWAYS,
        ),
    )
    return case, warnings


def _check(session: Session, path: Path) -> None:
    if is_no_ksm(session.kernel.release):
        raise KsmtraceError(
            f"{path}: a run of {session.kernel.release} does not tell what processes did: "
            "give whatif its workload file"
        )
    if session.kernel.page_size_bytes != PAGE_SIZE:
        raise KsmtraceError(
            f"{path}: its pages ({session.kernel.machine}) have {session.kernel.page_size_bytes} "
            f"bytes, those of the engine {PAGE_SIZE}: what pages of another size would have saved "
            "does not follow from it"
        )
    if not session.sees(EventKind.CMP_AND_MERGE_PAGE):
        raise KsmtraceError(
            f"{path}: holds no candidates ({session.tier} tier), so nothing is known of contents: "
            "record where `ksmtrace doctor` says full or partial"
        )


def _kernel_point(reading: Reading) -> KernelPoint | None:
    """The kernel's gauges as the probe read them at the end of a pass; None for other readings."""
    values = reading.values
    wanted = (Gauge.PAGES_SHARED, Gauge.PAGES_SHARING, Gauge.PAGES_UNSHARED)
    volatile = reading.pages_volatile
    if not reading.at_scan_stop or volatile is None or not all(one in values for one in wanted):
        return None
    shared, sharing, unshared = (values[gauge] for gauge in wanted)
    return KernelPoint(shared, sharing, unshared, volatile)


def _guess(release: str, variant: str) -> tuple[str, ...]:
    """A line that names the variant taken for a kernel; none where the engine was recorded."""
    if release in KERNELS:
        return ()
    return (f"kernel {release} is taken as the engine's {variant}",)


def _tunables(session: Session, variant: str) -> tuple[Tunables, list[str]]:
    """The tunables with which the trace began, and lines about those that cannot be followed."""
    kept: dict[str, int | str] = {}
    ignored = []
    for name, text in session.tunables.items():
        value = int(text) if text.isdecimal() else text
        try:
            checked = check_tunables({name: value})
        except ValueError:
            if name != "run":
                ignored.append(f"{name} = {text} of the traced kernel is not followed")
            continue
        if name in KERNELS[variant].absent_tunables:
            ignored.append(f"{variant} has no {name}, which the traced kernel had as {text}")
        elif (name, value) == ("pages_to_scan", 0):
            ignored.append("pages_to_scan = 0 of the traced kernel is not followed")
        else:
            kept.update(checked)
    return kept, ignored


def _of_tunables(session: Session, reader: CaptureReader, tunables: Tunables) -> list[str]:
    lines = []
    if not session.sees(EventKind.TUNABLE):
        lines.append(
            "tunables are those of the beginning of the trace: later changes are not recorded, "
            "except run = 2"
        )
        if reader.zero_merges and not tunables.get("use_zero_pages", 0):
            lines.append(
                "use_zero_pages was switched on during the trace: the baseline does without it"
            )
    elif session.probes[EventKind.TUNABLE].exactness is Exactness.SAMPLED:
        lines.append("tunables were read now and then: a change may count some passes too late")
    return lines


def _of_writes(writes: CaseTunables) -> list[str]:
    lines = [
        f"{name} was written during the trace, to what cannot be told"
        for name in sorted(writes.unclear)
    ]
    if writes.during_passes:
        lines.append(
            f"{writes.during_passes} writes to tunables came during a pass: "
            "they count from the next one on"
        )
    return lines


def _of_this_run(session: Session, reader: CaptureReader) -> list[str]:
    lines = []
    if reader.before:
        lines.append(
            f"{len(reader.before)} pages were known to ksmd before the trace: "
            f"{WARM_UP_PASSES} passes that do not count merge them first"
        )
    forked = sum(process.parent is not None for process in reader.processes)
    if forked:
        lines.append(
            f"{forked} processes were forked, as page frames tell that they have in common "
            "with others: "
            "what was written just before or after that is a guess"
        )
    alike = _equal_by_checksum(reader)
    if alike:
        lines.append(f"{alike} pages at the end are equal to others by their checksum alone")
    if reader.lost:
        lines.append(f"{reader.lost} events were lost: pages they were about are out of date")
    if session.only_pids:
        lines.append("the trace is limited to some processes: the others' pages are not there")
    if not session.sees(EventKind.REMOVE_RMAP_ITEM):
        lines.append("removals were not seen: pages that have gone count as still there")
    if session.derives_writes:
        lines.append(
            "writes to merged pages are known by what ksmd found when it next came to them: "
            "several between two scans count as one"
        )
    elif not session.sees(EventKind.COW_FAULT):
        lines.append("writes to merged pages were not seen: only their new contents are")
    elif not session.sees_who_broke:
        lines.append(
            "the kernel's own breaks of merged pages count as writes: they look alike here"
        )
    return lines


def _equal_by_checksum(reader: CaptureReader) -> int:
    counts = Counter(page.content.known_checksum() for page in reader.pages())
    return sum(
        1
        for page in reader.pages()
        if not page.ever_merged
        and (checksum := page.content.known_checksum()) is not None
        and counts[checksum] > 1
    )
