"""Analyzer of volatile pages: what changes too fast to be placed in a tree, and whose it is."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from rich.panel import Panel
from rich.text import Text

from ksmtrace import hookimpl
from ksmtrace.events import EventBatch, EventKind, Flag, Gauge
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.panel import figures_panel
from ksmtrace.session import Session

TOP = 10
"""Processes named in the JSON document."""

MOST_PROCESSES = 4096
"""Processes counted apart; beyond that, the half that changed least is counted together."""

_MARKS = np.zeros(256, dtype=bool)
_MARKS[[EventKind.SCAN_START, EventKind.LOST, EventKind.MM_EXIT]] = True

_OUTCOMES = ("stable", "unstable", "changed", "first_look", "unplaced", "freed")
_KEYS = ("placed_stable_pages", "placed_unstable_pages", *(f"{o}_pages" for o in _OUTCOMES[2:]))


class Plugin:
    """What ksmd's examinations came to, and the processes whose pages keep changing.

    JSON, each None where this run cannot know it; page counts are examinations unless "now" is said:
        volatile_pages: rmap_items in neither tree, as sysfs pages_volatile, reconstructed, now.
        examined_pages: CMP_AND_MERGE_PAGE; the sum of the six counts that follow.
        placed_stable_pages, placed_unstable_pages: ended in that tree.
        changed_pages: ended in neither tree, and the checksum differed from that of the look before.
        first_look_pages: the same, but there was no look before (oldchecksum 0): says nothing about change.
        unplaced_pages: ended in neither tree with the checksum unchanged: shared by fork, failed to merge, or
            replaced by the zero page (`stable_tree` counts those).
        freed_pages: the rmap_item was gone before the outcome could be read.
        last_pass_examined_pages, last_pass_changed_pages: in the last pass that was seen whole.
        last_pass_changed_ratio: the second by the first, 0 to 1.
        processes: the `TOP` with most changed_pages, as {"pid", "comm", "mm", "changed_pages"}; pid and comm are None
            where no name was seen; comm has "?" for what cannot be printed; mm is the key in the capture.
        other_changed_pages, exited_changed_pages: of the processes not listed, and of those that have exited.
    """

    def __init__(self) -> None:
        self._reconstruction: Reconstruction | None = None
        self._outcomes = np.zeros(len(_OUTCOMES), dtype=np.int64)
        self._changed_by_mm: Counter[int] = Counter()
        self._names: dict[int, tuple[int, str]] = {}
        self._exited = 0
        self._folded = 0
        self._pass_whole = False
        self._pass_outcomes = np.zeros(len(_OUTCOMES), dtype=np.int64)
        self._last_pass: tuple[int, int] | None = None  # examined, changed

    @hookimpl
    def ksmtrace_batch(self, batch: EventBatch, reconstruction: Reconstruction) -> None:
        """Class the examinations and put the changed ones down to their processes."""
        self._reconstruction = reconstruction
        kind, start = batch.kind, 0
        for mark in np.flatnonzero(_MARKS[kind]).tolist():
            self._count(batch, start, mark)
            if kind[mark] == EventKind.MM_EXIT:
                mm = int(batch.events["mm"][mark])
                self._exited += self._changed_by_mm.pop(mm, 0)
                self._names.pop(mm, None)
            else:
                self._pass_whole = bool(kind[mark] == EventKind.SCAN_START)
                self._pass_outcomes[:] = 0
            start = mark + 1
        self._count(batch, start, len(batch))

    def _count(self, batch: EventBatch, start: int, end: int) -> None:
        events, kind = batch.events[start:end], batch.kind[start:end]
        for event in events[kind == EventKind.PROCESS]:
            comm = struct.pack("<QQ", event["pfn"], event["rmap_item"])
            self._names[int(event["mm"])] = (int(event["aux"]), _printable(comm))
        examined = kind == EventKind.CMP_AND_MERGE_PAGE
        if not examined.any():
            return
        outcome = _outcomes(
            batch.flags[start:end][examined],
            events["oldchecksum"][examined],
            events["checksum"][examined],
        )
        counts = np.bincount(outcome, minlength=len(_OUTCOMES))
        self._outcomes += counts
        self._pass_outcomes += counts
        mms, changed = np.unique(
            events["mm"][examined][outcome == _OUTCOMES.index("changed")], return_counts=True
        )
        self._changed_by_mm.update(dict(zip(mms.tolist(), changed.tolist(), strict=True)))

    @hookimpl
    def ksmtrace_scan_end(self) -> None:
        """Keep the pass, if it was seen whole, and bound what is kept for each process."""
        if self._pass_whole:
            examined, changed = self._pass_outcomes.sum(), self._pass_outcomes[2]
            self._last_pass = (int(examined), int(changed))
        self._pass_whole = False
        if len(self._changed_by_mm) > MOST_PROCESSES:
            kept = self._ranked()[: MOST_PROCESSES // 2]
            self._folded += self._changed_by_mm.total() - sum(count for _, count in kept)
            self._changed_by_mm = Counter(dict(kept))
        if len(self._names) > 2 * MOST_PROCESSES:
            self._names = {m: n for m, n in self._names.items() if m in self._changed_by_mm}

    def _ranked(self) -> list[tuple[int, int]]:
        """(mm, changed pages), most first; ties in the order of mm, however batches were cut."""
        return sorted(self._changed_by_mm.items(), key=lambda entry: (-entry[1], entry[0]))

    @hookimpl
    def ksmtrace_analysis(self, session: Session) -> dict[str, object]:
        """The figures of the class docstring."""
        ranked = self._ranked()
        top = [
            {"pid": pid, "comm": comm, "mm": f"{mm:#x}", "changed_pages": count}
            for mm, count in ranked[:TOP]
            for pid, comm in [self._names.get(mm, (None, None))]
        ]
        seen = session.sees(EventKind.CMP_AND_MERGE_PAGE)
        others = self._folded + sum(count for _, count in ranked[TOP:])
        return {
            **self._figures(session),
            "processes": top if seen else None,
            "other_changed_pages": others if seen else None,
            "exited_changed_pages": self._exited
            if seen and session.sees(EventKind.MM_EXIT)
            else None,
        }

    def _figures(self, session: Session) -> dict[str, float | None]:
        gauges = self._reconstruction.gauges() if self._reconstruction else {}
        seen = session.sees(EventKind.CMP_AND_MERGE_PAGE)
        counts = self._outcomes.tolist()
        examined, changed = self._last_pass or (None, None)
        return {
            "volatile_pages": gauges.get(Gauge.PAGES_VOLATILE),
            "examined_pages": sum(counts) if seen else None,
            **{key: count if seen else None for key, count in zip(_KEYS, counts, strict=True)},
            "last_pass_examined_pages": examined if seen else None,
            "last_pass_changed_pages": changed if seen else None,
            "last_pass_changed_ratio": changed / examined
            if seen and changed is not None and examined
            else None,
        }

    @hookimpl
    def ksmtrace_metrics(self, session: Session) -> Iterable[Metric]:
        """Metric families of what this run can see."""
        figures = self._figures(session)
        for key, help_text in (
            (
                "volatile_pages",
                "Pages in neither tree. High for long: look at ksmtrace_examined_pages_total for why, by outcome.",
            ),
            (
                "last_pass_examined_pages",
                "Pages examined in the last whole pass: what one pass costs. Divide by pages_to_scan for its batches.",
            ),
            (
                "last_pass_changed_pages",
                "Pages of the last whole pass that had changed since the pass before: work for nothing.",
            ),
            (
                "last_pass_changed_ratio",
                "Share of the last whole pass that had changed. "
                "Above 0.5: advise less memory, or turn smart_scan on; `ksmtrace live --json` names the processes.",
            ),
        ):
            value = figures[key]
            if value is not None:
                yield GaugeMetricFamily(f"ksmtrace_{key}", help_text, value)
        if session.sees(EventKind.CMP_AND_MERGE_PAGE):
            family = CounterMetricFamily(
                "ksmtrace_examined_pages_total",
                "Pages examined, by outcome. changed: written to between two looks, no use scanning; "
                "unplaced: unchanged but in no tree, see ksmtrace_merge_attempts_total for failures.",
                labels=["outcome"],
            )
            for outcome, count in zip(_OUTCOMES, self._outcomes.tolist(), strict=True):
                family.add_metric([outcome], count)
            yield family

    @hookimpl
    def ksmtrace_panels(self, session: Session) -> Iterable[Panel]:
        """One panel of figures and the three processes that change most, usable 26 columns wide."""
        figures = self._figures(session)
        ratio = figures["last_pass_changed_ratio"]
        rows: list[tuple[str | Text, float | str | None]] = [
            ("volatile", figures["volatile_pages"]),
            ("examined", figures["examined_pages"]),
            ("changed", figures["changed_pages"]),
            ("  last pass", None if ratio is None else f"{ratio:.1%}"),
            ("first look", figures["first_look_pages"]),
            ("unplaced", figures["unplaced_pages"]),
        ]
        for mm, count in self._ranked()[:3]:
            pid, comm = self._names.get(mm, (None, "unknown"))
            rows.append((Text(comm if pid is None else f"{comm} {pid}", style="magenta"), count))
        yield figures_panel("volatile", rows, "magenta")


def _outcomes(
    flags: npt.NDArray[np.uint8], before: npt.NDArray[np.uint32], after: npt.NDArray[np.uint32]
) -> npt.NDArray[np.intp]:
    """Index into `_OUTCOMES` of each CMP_AND_MERGE_PAGE, by its flags and its checksums before and after."""
    unplaced, first_look, changed = (
        _OUTCOMES.index(name) for name in ("unplaced", "first_look", "changed")
    )
    outcome = np.where(before == after, unplaced, np.where(before == 0, first_look, changed))
    for bit, name in (
        (Flag.UNSTABLE_AFTER, "unstable"),
        (Flag.STABLE_AFTER, "stable"),
        (Flag.FREED, "freed"),
    ):
        outcome[flags & int(bit) != 0] = _OUTCOMES.index(name)
    return outcome


def _printable(comm: bytes) -> str:
    """A process name that can do no harm on a terminal: "?" for what cannot be printed."""
    text = comm.split(b"\0", 1)[0].decode("utf-8", "replace").replace("\ufffd", "?")
    return "".join(c if c.isprintable() else "?" for c in text)
