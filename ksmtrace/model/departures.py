"""What has left the stable tree where no removal is seen, by the kernel's own counts."""

from __future__ import annotations

import numpy as np

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Gauge, ProcessGauge
from ksmtrace.events.readings import Reading
from ksmtrace.model.items import Ids
from ksmtrace.model.processes import ProcessTable


class Departures:
    """How many merged pages of each process are gone, and what is saved at most.

    Attributes:
        of: by `Process.number`, the pages that are known as merged beyond those that the kernel
            counted (ksm_merging_pages, 5.19), when it was last asked.
        pages_sharing: the kernel's, as last read; None before.
    """

    def __init__(self) -> None:
        self.of: dict[int, int] = {}
        self.pages_sharing: int | None = None

    def read(self, reading: Reading) -> None:
        """Take in a reading of the kernel's counters."""
        self.pages_sharing = reading.values.get(Gauge.PAGES_SHARING, self.pages_sharing)

    def follow(self, batch: EventBatch, processes: ProcessTable, owner: Ids) -> None:
        """Take in the kernel's counts of processes in `batch`.

        Args:
            batch: the last one.
            processes: as of its end.
            owner: `Process.number` of each page known as merged at its end.
        """
        counted = batch.of(EventKind.PROCESS_SAMPLE)
        counted = counted[counted["address"] == ProcessGauge.KSM_MERGING_PAGES]
        if not len(counted):
            return
        numbers, pages = np.unique(owner, return_counts=True)
        known = dict(zip(numbers.tolist(), pages.tolist(), strict=True))
        self.of = {number: gone for number, gone in self.of.items() if number in known}
        for mm in np.unique(counted["mm"]).tolist():
            process = processes.of(mm)
            kernels = process.gauges.get(ProcessGauge.KSM_MERGING_PAGES)
            if kernels is not None and process.number in known:
                self.of[process.number] = max(0, known[process.number] - max(0, kernels))
