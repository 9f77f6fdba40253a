"""Zero-page merging alone: every empty page of every process becomes the zero page at once."""

from __future__ import annotations

from errno import EFAULT

from ksmtrace.engine.ksm.counters import COUNTERS
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.machine.faults import split_huge_page
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.engine.relatives.pte_item import PteItem
from ksmtrace.engine.relatives.relative_scanner import RelativeScanner


class ZeroPageScanner(RelativeScanner):
    """A daemon that goes over all present anonymous pages, in the order of processes and addresses.

    It is a model of an idea, that of empty pages merged in every process: no public source has it.
    The nearest are the ways in which PKSM, UKSM, and KSM with use_zero_pages treat empty pages.

    A page is compared with zeroes and nothing else: no checksum, no tree, no second pass. A huge
    page with an empty part is split first, as KSM does; a pinned page is left alone. What `run` 2
    gives back, and the counters, are made after KSM's.
    """

    def __init__(self, variant: Variant, watcher: Watcher) -> None:
        super().__init__(variant, watcher, {"pages_to_scan": 100, "sleep_millisecs": 20})
        self.memory.owner = self
        self._comparisons = 0
        self._left: list[Mm] = []
        self._vpn = 0

    @property
    def comparisons(self) -> int:
        """Pages compared with zeroes."""
        return self._comparisons

    @property
    def saved_pages(self) -> int:
        """Zero pages placed."""
        return self.memory.ksm_zero_pages

    @property
    def metadata_bytes(self) -> int:
        """Nothing is kept of pages."""
        return 0

    def page_mapped(self, page: Frame, mm: Mm, vpn: int, /) -> None:
        """Nothing: pages are met as the daemon comes by."""

    def page_unmapped(self, page: Frame, mm: Mm, vpn: int, /) -> None:
        """Nothing: what is unmapped is met no more."""

    def page_written(self, mm: Mm, vpn: int, /) -> None:
        """A write takes a page that was merged back (do_wp_page)."""
        if vpn in mm.ksm_zero:
            self._taken_back(mm, vpn, by_kernel=False)

    def scan_batch(self) -> None:
        """Examine pages_to_scan pages; the end of a pass ends the batch."""
        if not self._left:
            self._left = list(self.memory.mms)
            self._vpn = 0
            self.watcher.scan_start(self._passes)
        for _ in range(self.tunables["pages_to_scan"]):
            found = self._next()
            if found is None:
                self._passes += 1
                self.watcher.scan_stop(self._passes - 1, self.readings())
                return
            self._examine(*found)

    def write_run(self, value: int) -> None:
        """With 2, give every process pages of its own again."""
        super().write_run(value)
        if value == 2:
            for mm in self.memory.mms:
                for vpn in sorted(mm.ksm_zero):
                    self._taken_back(mm, vpn, by_kernel=True)
                    self.memory.map_frame(mm, vpn, self.memory.new_frame(self.memory.pool.zero))
            self._passes = 0
            self._left = []

    def counters(self) -> dict[str, int | None]:
        """Passes, pages examined, zero pages placed, and the bytes that they save."""
        zero = self.memory.ksm_zero_pages
        return dict.fromkeys(COUNTERS) | {
            "full_scans": self._passes,
            "pages_scanned": self._scanned,
            "ksm_zero_pages": zero,
            "general_profit": zero * PAGE_SIZE,
        }

    def _next(self) -> tuple[Mm, int] | None:
        while self._left:
            mm = self._left[0]
            for vma in mm.vmas:
                for vpn in range(max(self._vpn, vma.start), vma.end):
                    frame = mm.ptes.get(vpn)
                    if frame is not None and frame.anon:
                        self._vpn = vpn + 1
                        return mm, vpn
            self._left.pop(0)
            self._vpn = 0
        return None

    def _examine(self, mm: Mm, vpn: int) -> None:
        frame, zero_page = mm.ptes[vpn], self.memory.zero_page
        entry = PteItem(mm, vpn)
        self.watcher.candidate(entry, frame)
        self._scanned += 1
        self._comparisons += 1
        if frame.data is zero_page.data:
            was_compound = frame.compound is not None
            split = not was_compound or split_huge_page(self.memory, frame)
            err = 0 if split and not frame.references else -EFAULT
            self.watcher.merged_one(entry, frame, zero_page, err, was_compound=was_compound)
            if err == 0:
                self.watcher.replaced(entry, frame, zero_page)
                self.memory.map_frame(mm, vpn, zero_page)
                self.memory.mark_ksm_zero_page(mm, vpn)
        self.watcher.candidate_done()

    def _taken_back(self, mm: Mm, vpn: int, *, by_kernel: bool) -> None:
        result = self.memory.version.cow_fault_result
        zero_page = self.memory.zero_page
        self.watcher.cow_fault(mm, vpn, zero_page, by_kernel=by_kernel, result=result)
