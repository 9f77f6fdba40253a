"""A capture as a story: what can be known of contents and writes from what ksmd did, and what cannot."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ksmtrace.capture.reader import open_capture
from ksmtrace.engine.tunables_shadow import TunablesShadow
from ksmtrace.engine.variants import KERNELS, VARIANTS, variant_of
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.session import Exactness, Session
from ksmtrace.whatif.observer import Observer
from ksmtrace.whatif.scenario import KernelPoint, Story
from ksmtrace.whatif.script import WARM_UP_PASSES, build_script
from ksmtrace.whatif.writes import StoryTunables
from ksmtrace.workload.file import Workload
from ksmtrace.workload.tunables import Tunables, check_tunables

_ALWAYS = (
    "contents are known by their 32-bit checksums: pages with equal ones count as equal, also if they were never merged",
    "what lies between two scans of a page is not seen: a page counts as written once, just before the pass that found it changed",
    "pages that ksmd never examined are not there: not mergeable, never present while it came by, or swapped out",
    "a pass sees what the pass of the same number saw, however long it would have taken: nothing is known of time",
    "pages are small ones on one NUMA node, and their order in the trees is not that of the real contents: comparisons are typical",
)


def capture_story(path: Path) -> tuple[Story, list[str]]:
    """The story of the capture at `path`, and warnings about what is missing from the file.

    Raises:
        KsmtraceError: it cannot be read, holds no candidates, or no pass was seen whole.
    """
    with open_capture(path) as capture:
        session = capture.session
        _check(session, path)
        variant = variant_of(session.kernel.release, session.tunables).name
        writes = StoryTunables(TunablesShadow(VARIANTS[variant], session.tunables))
        checks_first = VARIANTS[variant].checks_before_stable_tree
        observer = Observer(checks_first=checks_first, tunables=writes)
        points: dict[int, KernelPoint] = {}
        for batch in capture.batches():
            for part in _parts(batch):
                observer.apply(part)
                point = _kernel_point(part)
                if point is not None and observer.passes:
                    points.setdefault(observer.passes - 1, point)
        warnings = list(capture.warnings)
    if not observer.passes:
        raise KsmtraceError(f"{path}: no pass of ksmd was seen whole: record for longer")
    tunables, ignored = _tunables(session, variant)
    script = build_script(observer)
    story = Story(
        source="capture",
        name=path.name,
        workload=Workload(path.name, variant, tunables, script.steps),
        warm_up_steps=script.warm_up_steps,
        passes=observer.passes,
        kernel_points=points,
        totals=(observer.examined, observer.cow_breaks),
        assumptions=(
            *(
                *_guess(session.kernel.release, variant),
                *ignored,
                *_of_tunables(session, observer, tunables),
                *_of_writes(writes),
            ),
            *(*_of_this_run(session, observer), *_ALWAYS),
        ),
    )
    return story, warnings


def _check(session: Session, path: Path) -> None:
    if session.kernel.release in VARIANTS.keys() - KERNELS.keys():
        raise KsmtraceError(
            f"{path}: a run of {session.kernel.release} does not tell what processes did: give whatif its workload file"
        )
    if not session.sees(EventKind.CMP_AND_MERGE_PAGE):
        raise KsmtraceError(
            f"{path}: holds no candidates ({session.tier} tier), so nothing is known of contents: "
            "record where `ksmtrace doctor` says full or partial"
        )


def _parts(batch: EventBatch) -> list[EventBatch]:
    """The batch, cut after each reading of the counters: a reading belongs to the pass before it."""
    events = batch.events
    last = (batch.kind == EventKind.SAMPLE) & ((events["flags"] & Flag.LAST_OF_SAMPLE) != 0)
    ends = [*(last.nonzero()[0] + 1).tolist(), len(batch)]
    starts = [0, *ends[:-1]]
    return [EventBatch(events[a:b]) for a, b in zip(starts, ends, strict=True) if a < b]


def _kernel_point(batch: EventBatch) -> KernelPoint | None:
    """The reading that the probe took as a pass ended, with which the batch ends."""
    samples = batch.of(EventKind.SAMPLE)
    if not len(samples) or not samples["flags"][-1] & Flag.AT_SCAN_STOP:
        return None
    values = dict(zip(samples["address"].tolist(), samples["aux"].tolist(), strict=True))
    wanted = (Gauge.PAGES_SHARED, Gauge.PAGES_SHARING, Gauge.PAGES_UNSHARED, Gauge.RMAP_ITEMS)
    if not all(gauge in values for gauge in wanted):
        return None
    shared, sharing, unshared, items = (values[gauge] for gauge in wanted)
    return KernelPoint(shared, sharing, unshared, max(0, items - shared - sharing - unshared))


def _guess(release: str, variant: str) -> tuple[str, ...]:
    """A line about the variant that stands for a kernel, unless the engine itself was recorded."""
    if release in VARIANTS:
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
        if name in VARIANTS[variant].absent_tunables:
            ignored.append(f"{variant} has no {name}, which the traced kernel had as {text}")
        elif (name, value) == ("pages_to_scan", 0):
            ignored.append("pages_to_scan = 0 of the traced kernel is not followed")
        else:
            kept.update(checked)
    return kept, ignored


def _of_tunables(session: Session, observer: Observer, tunables: Tunables) -> list[str]:
    lines = []
    if not session.sees(EventKind.TUNABLE):
        lines.append(
            "tunables are those of the beginning of the trace: later changes are not recorded, except run = 2"
        )
        if observer.zero_merges and not tunables.get("use_zero_pages", 0):
            lines.append(
                "use_zero_pages was switched on during the trace: the baseline does without it"
            )
    elif session.probes[EventKind.TUNABLE].exactness is Exactness.SAMPLED:
        lines.append("tunables were read now and then: a change may count some passes too late")
    return lines


def _of_writes(writes: StoryTunables) -> list[str]:
    lines = [
        f"{name} was written during the trace, to what cannot be told"
        for name in sorted(writes.untold)
    ]
    if writes.amid:
        lines.append(
            f"{writes.amid} writes to tunables came during a pass: they count from the next one on"
        )
    return lines


def _of_this_run(session: Session, observer: Observer) -> list[str]:
    lines = []
    if observer.before:
        lines.append(
            f"{len(observer.before)} pages were known to ksmd before the trace: "
            f"{WARM_UP_PASSES} passes that do not count merge them first"
        )
    forked = sum(process.parent is not None for process in observer.processes)
    if forked:
        lines.append(
            f"{forked} processes were forked, as page frames tell that they have in common with others: "
            "what was written just before or after that is a guess"
        )
    alike = _equal_by_checksum(observer)
    if alike:
        lines.append(f"{alike} pages at the end are equal to others by their checksum alone")
    if observer.lost:
        lines.append(f"{observer.lost} events were lost: pages they were about are out of date")
    if session.only_pids:
        lines.append("the trace is limited to some processes: the others' pages are not there")
    if not session.sees(EventKind.REMOVE_RMAP_ITEM):
        lines.append("removals were not seen: pages that have gone count as still there")
    if not session.sees(EventKind.COW_FAULT):
        lines.append("writes to merged pages were not seen: only their new contents are")
    elif not session.sees_who_broke:
        lines.append(
            "the kernel's own breaks of merged pages count as writes: they look alike here"
        )
    return lines


def _equal_by_checksum(observer: Observer) -> int:
    counts = Counter(page.content.known_checksum() for page in observer.pages())
    return sum(
        1
        for page in observer.pages()
        if not page.ever_merged
        and (checksum := page.content.known_checksum()) is not None
        and counts[checksum] > 1
    )
