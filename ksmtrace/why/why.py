"""The answer to why the pages of a process do not merge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ksmtrace.estimate.looking import Frames, Lister, Pace, Process
from ksmtrace.estimate.pages import Bit, Pages
from ksmtrace.estimate.settled import Rules
from ksmtrace.estimate.targets import Target, find_targets
from ksmtrace.kernel.files import number, read_lines
from ksmtrace.kernel.page_table import frame_counts
from ksmtrace.kernel.processes import read_start
from ksmtrace.kernel.sysfs import ROOT, read_tunables
from ksmtrace.why.comparing import Bar, Compared, Comparison
from ksmtrace.why.deciding import Codes, Counts, Decided, decide, held
from ksmtrace.why.decisions import Decision, Decisions
from ksmtrace.why.neighbours import Neighbours, Search
from ksmtrace.why.reason import Reason
from ksmtrace.why.survey import Area, Range, ended, survey, unreadable

_WATCHED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to look.

    Attributes:
        looks: 1 or more; with one alone, nothing is known to change.
        every: seconds from the end of one look to the beginning of the next.
        bytes_per_second: read at most so fast; None for as fast as it goes.
        near: also look for pages that are nearly equal.
    """

    looks: int = 2
    every: float = 5.0
    bytes_per_second: float | None = None
    near: bool = True


@dataclass(frozen=True, slots=True)
class Sharer:
    """Another process that maps KSM pages which the process maps.

    Attributes:
        frames: of them.
    """

    target: Target
    frames: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found of a process.

    Attributes:
        target: the process.
        wanted: the range that was asked for; None for all of it.
        areas: its mappings, by address.
        compared: what was read.
        decided: of each of its anonymous pages.
        mappings: how often the frame of each is mapped; 0 where not known.
        sharers: most pages first.
        frames: what may be learned of frames.
        tunables: as they stand.
        pinned_pages: that the process has pinned for good (VmPin); None where not known.
        neighbours: what its unique pages are nearly equal to; None where nobody asked.
        decisions: what a capture tells of the process; None without.
        last: `Decision` of each of its anonymous pages, by a capture; None without.
    """

    target: Target
    wanted: Range | None
    areas: list[Area]
    compared: Compared
    decided: Decided
    mappings: Counts
    sharers: list[Sharer]
    frames: Frames
    tunables: Mapping[str, str]
    pinned_pages: int | None
    neighbours: Neighbours | None
    decisions: Decisions | None
    last: Codes | None

    @property
    def pages(self) -> Pages:
        """Its anonymous pages."""
        return self.compared.own


def explain(
    target: Target,
    wanted: Range | None,
    wishes: Wishes,
    stop: Callable[[], bool],
    bar: Bar,
    decisions: Decisions | None = None,
    root: Path = ROOT,
) -> Answer:
    """Look at a process, and say why its pages do not merge.

    Args:
        target: the process.
        wanted: of which addresses; None for all.
        wishes: how.
        stop: says whether to end with what there is.
        bar: shows progress.
        decisions: what a capture tells of the process; None for no capture.
        root: where /proc is.

    Raises:
        KsmtraceError: the process has ended, has nothing in the range, or may not be read.
    """
    lister = Lister(root=root)
    process = Process(target)
    areas, pages = survey(lister, process, wanted, root)
    others = [one for one in find_targets(root=root) if one.pid != target.pid]
    pace = Pace(wishes.bytes_per_second, stop)
    comparison = Comparison(process, wanted, others, pace, bar, root)
    found = comparison.look(pages, wishes.looks, wishes.every)
    if read_start(target.pid, root) != target.start:
        raise ended(target.pid)
    if process.unread:
        raise unreadable(target.pid, PermissionError(0, process.unread))
    tunables = read_tunables(root)
    rules = rules_of(tunables)
    mappings = _mappings(found, lister.frames, root)
    now = decide(found.own, found.others, mappings, rules)
    before = decide(found.first_own, found.first_others, mappings, rules)
    if tunables.get("merge_across_nodes", "1") != "0":
        smart = tunables.get("smart_scan", "0") != "0"
        now.reasons[held(now, before, found.passes, smart_scan=smart)] = Reason.HELD
    last = None if decisions is None else decisions.of(found.own.address)
    if last is not None:
        tried = np.isin(last, (Decision.HELD, Decision.FAILED))
        now.reasons[(now.reasons == Reason.WAITING) & tried] = Reason.HELD
    search = Search(found.processes, pace, bar, root)
    return Answer(
        target=target,
        wanted=wanted,
        areas=areas,
        compared=found,
        decided=now,
        mappings=mappings[: len(found.own)],
        sharers=_sharers(found),
        frames=lister.frames,
        tunables=tunables,
        pinned_pages=_pinned(target.pid, root),
        neighbours=_near(search, found.own, now) if wishes.near else None,
        decisions=decisions,
        last=last,
    )


def _near(search: Search, own: Pages, decided: Decided) -> Neighbours:
    """Of unique mergeable pages; where there are none that may merge, of those that could.

    And what changes in pages that change.
    """
    changing = own.has(Bit.CHANGED) & ~own.has(Bit.UNREAD)
    if own.has(Bit.ADVISED).any():
        alone = np.isin(decided.reasons, (Reason.UNIQUE, Reason.FORKED))
        changing &= decided.reasons == Reason.CHANGING
        found = search.seek(own, alone, advised_only=True)
    else:
        alone = (decided.equal == 0) & ~own.has(Bit.UNREAD) & ~own.has(Bit.CHANGED)
        found = search.seek(own, alone, advised_only=False)
    search.watch(own, changing, _WATCHED_SECONDS, found)
    return found


def rules_of(tunables: Mapping[str, str]) -> Rules:
    """The rules under which ksmd merges, by the tunables."""
    limit = number(tunables.get("max_page_sharing", "")) or Rules().max_page_sharing
    return Rules(max(limit, 2), tunables.get("use_zero_pages", "0") != "0")


def _mappings(found: Compared, frames: Frames, root: Path) -> Counts:
    """How often each page's frame is mapped: as the kernel counts, else by what was read."""
    frame = np.concatenate([found.own.frame, found.others.frame])
    if not frames.shown:
        return np.zeros(len(frame), dtype=np.int64)
    try:
        return frame_counts(frame, root).astype(np.int64)
    except OSError:
        _, back, counts = np.unique(frame, return_inverse=True, return_counts=True)
        return counts[back].astype(np.int64)


def _sharers(found: Compared) -> list[Sharer]:
    merged = found.own.frame[found.own.has(Bit.MERGED)]
    theirs = found.others[found.others.has(Bit.MERGED) & np.isin(found.others.frame, merged)]
    sharers = [
        Sharer(
            found.processes[index].target,
            len(np.unique(theirs.frame[theirs.process == index])),
        )
        for index in np.unique(theirs.process).tolist()
        if index
    ]
    return sorted(sharers, key=lambda one: -one.frames)


def _pinned(pid: int, root: Path) -> int | None:
    """Pages that the process has pinned for good, by the kernel's own count (VmPin, 3.2)."""
    for line in read_lines(root / f"proc/{pid}/status"):
        if line.startswith("VmPin:"):
            kibibytes = number(line.split()[1])
            return None if kibibytes is None else kibibytes // 4
    return None
