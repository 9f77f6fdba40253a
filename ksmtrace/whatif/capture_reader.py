"""Reads the events of a capture, and notes what must have happened to memory before each pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from ksmtrace.events import EventBatch, EventKind
from ksmtrace.events.row import EventRow, rows_of
from ksmtrace.events.tunable import TunableWrite, tunable_writes
from ksmtrace.whatif.case_tunables import CaseTunables
from ksmtrace.whatif.forks import note_fork
from ksmtrace.whatif.history import Content, Interval, Page, Place, Process


class CaptureReader:
    """The history of memory after the last event applied; incomplete passes add nothing.

    Args:
        checks_first: this kernel computes the checksum before it searches the stable tree (6.11).
        tunables: follows the writes.
        derives: writes to merged pages are told by what ksmd finds, not by faults.

    Attributes:
        intervals: one before each pass, and one after the last.
        processes: all that ksmd came to.
        before: contents that pages had before the first pass, where ksmd knew them already.
        passes: complete passes.
        examined: pages examined in them.
        cow_breaks: writes to merged pages since the first pass began.
        lost: events dropped.
        zero_merges: pages that gave way to the zero page.
    """

    def __init__(
        self, *, checks_first: bool, tunables: CaseTunables, derives: bool = False
    ) -> None:
        self.intervals = [Interval()]
        self.processes: list[Process] = []
        self.before: dict[Place, Content] = {}
        self.passes = self.examined = self.cow_breaks = self.lost = self.zero_merges = 0
        self._checks_first = checks_first
        self._derives = derives
        self._tunables = tunables
        self._begun = self._in_pass = self._after_unmerging = False
        self._examined_now = 0
        self._by_mm: dict[int, Process] = {}
        self._exited_mms: set[int] = set()
        self._nodes: defaultdict[int, Content] = defaultdict(Content)
        self._freed: list[tuple[Place, Page]] = []  # since the last pass began or ended
        self._forget_call()
        self._handlers: dict[int, Callable[[EventRow], None]] = {
            EventKind.CMP_AND_MERGE_PAGE: self._on_examined,
            EventKind.SKIPPED: self._on_skipped,
            EventKind.TRY_TO_MERGE_ONE_PAGE: self._on_attempt,
            EventKind.REPLACE_PAGE: self._on_replaced,
            EventKind.STABLE_APPEND: self._on_appended,
            EventKind.REMOVE_RMAP_ITEM: self._on_removed,
            EventKind.COW_FAULT: self._on_cow_fault,
            EventKind.MM_ENTER: self._on_named,
            EventKind.PROCESS: self._on_named,
            EventKind.MM_EXIT: self._on_exit,
            EventKind.SCAN_START: self._on_start,
            EventKind.SCAN_STOP: self._on_stop,
        }

    def apply(self, batch: EventBatch) -> None:
        """Follow the events of `batch`, in order."""
        self.lost += batch.lost
        writes = iter(tunable_writes(batch.events))
        for event in rows_of(batch):
            if event.kind == EventKind.TUNABLE:
                self._on_written(next(writes))
            elif (handler := self._handlers.get(event.kind)) is not None:
                handler(event)

    def pages(self) -> Iterator[Page]:
        """All pages of all processes that have not exited."""
        for process in self._by_mm.values():
            yield from process.pages.values()

    @property
    def _interval(self) -> Interval:
        return self.intervals[self.passes]

    def _interval_after(self, *, seen: bool) -> Interval:
        """Where a change counts: in the interval after this pass if that has `seen` the page."""
        if seen and len(self.intervals) == self.passes + 1:
            self.intervals.append(Interval())
        return self.intervals[self.passes + seen]

    def _forget_call(self) -> None:
        self._appended: list[tuple[Place, int]] = []
        self._new_node = 0
        self._adopted = False
        self._replaced: dict[Place, int] = {}
        self._zeroed: Place | None = None
        self._left: tuple[Place, int] | None = None

    def _process(self, mm: int) -> Process | None:
        if mm in self._exited_mms:
            return None
        process = self._by_mm.get(mm)
        if process is None:
            process = self._by_mm[mm] = Process(len(self.processes))
            self.processes.append(process)
            self._interval.appeared.append(process)
        return process

    def _known(self, event: EventRow) -> tuple[Place, Page] | None:
        process = self._by_mm.get(event.mm)
        if process is None or event.vpn not in process.pages:
            return None
        return (process.number, event.vpn), process.pages[event.vpn]

    def _on_examined(self, event: EventRow) -> None:
        process = self._process(event.mm) if self._in_pass else None
        if process is not None and not event.freed:
            self._examined_now += 1
            place = (process.number, event.vpn)
            page = process.pages.get(event.vpn)
            if page is None:
                page = process.pages[event.vpn] = self._first_seen(place, event)
            if event.stable_after:
                self._found_merged(place, page, event)
            else:
                self._found_private(place, page, event)
            page.pass_number = self.passes
            page.examined_pfn = event.pfn
            page.pfn = self._replaced.get(place, event.pfn)
            self._note_partners(place)
        self._forget_call()

    def _first_seen(self, place: Place, event: EventRow) -> Page:
        page = Page(Content(), adoptable=not event.stable_before)
        if self.passes:
            return page
        if event.stable_before:
            left = self._left
            page.node = left[1] if left is not None and left[0] == place else event.aux
            page.content = self._nodes[page.node]
            if event.oldchecksum:
                page.content.vote(event.oldchecksum)
        elif event.oldchecksum:
            page.content = Content(event.oldchecksum)
        else:
            return page
        self.before[place] = page.content
        page.pass_number = 0
        return page

    def _found_merged(self, place: Place, page: Page, event: EventRow) -> None:
        content = self._nodes[event.aux]
        joined = any(other == place for other, _ in self._appended)
        current = self._new_node == event.aux or (self._checks_first and not self._adopted)
        if content.checksum is None and joined and current:
            content.checksum = event.checksum
        if page.unread is not None:
            page.unread.same_as = content
            page.unread = None
        elif page.node and (joined or page.node != event.aux):
            self._interval.write(place, content, certain=True, clear=True)
            self.cow_breaks += self._derives
        elif not page.node:
            self._interval.write(place, content, certain=page.zero)
        page.content, page.node = content, event.aux
        page.zero, page.ever_merged = False, True

    def _found_private(self, place: Place, page: Page, event: EventRow) -> None:
        # Up to 6.10: a fresh page, without a checksum, equals a KSM page and could not be merged.
        content = Content(event.checksum or None)
        if page.unread is not None:
            page.unread.same_as = content
            page.unread = None
        elif page.node:
            self._interval.write(place, content, certain=True, clear=True)
            self.cow_breaks += self._derives
        elif page.zero or page.pass_number < 0:
            self._interval.write(place, content, certain=page.zero)
        elif page.content.checksum != content.checksum:
            self._interval.write(place, content)
        elif page.pfn not in (0, event.pfn) and self.processes[place[0]].related:
            # no longer the frame that a fork shares
            self._interval.write(place, content, certain=True)
        page.content, page.node = content, 0
        page.zero = self._zeroed == place

    def _note_partners(self, place: Place) -> None:
        # The page of the unstable tree that was merged with the one under examination.
        for other, node in self._appended:
            page = self.processes[other[0]].pages.get(other[1])
            if other != place and page is not None:
                page.content = self._nodes[node]
                page.node, page.ever_merged = node, True
                page.pfn = self._replaced.get(other, page.pfn)

    def _on_skipped(self, event: EventRow) -> None:
        known = self._known(event) if self._in_pass else None
        if known is not None:
            known[1].pass_number = self.passes

    def _on_attempt(self, event: EventRow) -> None:
        self._adopted |= event.same_page
        process = self._by_mm.get(event.mm)
        if event.err and self._in_pass and process is not None:
            self._interval.held.add((process.number, event.vpn))

    def _on_replaced(self, event: EventRow) -> None:
        process = self._process(event.mm) if self._in_pass else None
        if process is None:
            return
        place = (process.number, event.vpn)
        if event.zero_page:
            self._zeroed = place
            self.zero_merges += 1
        else:
            self._replaced[place] = event.aux

    def _on_appended(self, event: EventRow) -> None:
        process = self._process(event.mm) if self._in_pass else None
        node = event.aux or event.pfn
        if event.new_node:
            self._nodes[node] = Content()
            self._new_node = node
        if process is not None:
            self._appended.append(((process.number, event.vpn), node))

    def _on_removed(self, event: EventRow) -> None:
        if not self._begun:
            return
        if event.stable_before and event.mm in self._by_mm:
            self._left = ((self._by_mm[event.mm].number, event.vpn), event.aux)
        known = self._known(event)
        if known is not None and event.freed and not known[1].zero:
            place, _ = known
            self._interval.vanished.add(place)
            self._freed.append((place, self.processes[place[0]].pages.pop(place[1])))

    def _note_unmerging(self) -> None:
        # That freed all rmap_items at once: their pages need not be gone.
        for place, page in self._freed:
            self._interval.vanished.discard(place)
            self.processes[place[0]].pages[place[1]] = page
        self._interval.unmerged = self._after_unmerging = True
        for page in self.pages():
            page.node = 0
            page.zero = False

    def _on_cow_fault(self, event: EventRow) -> None:
        if event.by_kernel or self._derives or not self._begun:
            return
        self.cow_breaks += 1
        known = self._known(event)
        if known is None:
            return
        place, page = known
        seen = self._in_pass and page.pass_number == self.passes
        page.content = page.unread = Content()
        page.node = page.examined_pfn = page.pfn = 0
        self._interval_after(seen=seen).write(place, page.content, certain=True)

    def _on_written(self, write: TunableWrite) -> None:
        late = self._in_pass and self._examined_now > 0
        changed = self._tunables.take(write, during_pass=late)
        self._interval_after(seen=late).tunables.update(changed)

    def _on_named(self, event: EventRow) -> None:
        self._exited_mms.discard(event.mm)

    def _on_exit(self, event: EventRow) -> None:
        process = self._by_mm.pop(event.mm, None)
        self._exited_mms.add(event.mm)
        if process is not None:
            self._interval.exited.append(process)

    def _on_start(self, event: EventRow) -> None:
        if self._begun and event.aux == 0:
            self._note_unmerging()  # passes are counted from 0 again: run = 2
        self._freed.clear()
        self._begun = self._in_pass = True
        self._examined_now = 0
        self._forget_call()

    def _on_stop(self, _event: EventRow) -> None:
        if not self._in_pass:
            return
        for process in self._interval.appeared:
            note_fork(process, self._interval, self.processes, self._freed)
        for process in self._interval.exited:
            process.gone = True
            process.pages.clear()
        if self._after_unmerging:
            self._note_absent()
        self._in_pass = self._after_unmerging = False
        self._freed.clear()
        self.examined += self._examined_now
        self.passes += 1
        if len(self.intervals) == self.passes:
            self.intervals.append(Interval())

    def _note_absent(self) -> None:
        # No rmap_item is left to be freed when a page has gone while everything was unmerged.
        for process in self._by_mm.values():
            gone = [vpn for vpn, page in process.pages.items() if page.pass_number < self.passes]
            for vpn in gone:
                self._interval.vanished.add((process.number, vpn))
                del process.pages[vpn]
