"""Compares the reconstruction with the kernel's own counters, at every reading of them."""

from __future__ import annotations

from ksmtrace.events.kinds import PAGE_GAUGES, Gauge
from ksmtrace.events.readings import Reading
from ksmtrace.model.reconstruction import Reconstruction


class Reconciliation:
    """The last reading, the differences at it, and how all readings at the end of a pass compared.

    Attributes:
        counters: the kernel's counters at the last reading, and those that only an earlier one had.
        failures: by gauge, how often it could not be read, and why the last time, as errno.
        old: by gauge that the last reading did not have for that reason: CLOCK_MONOTONIC in
            nanoseconds at which `counters` has it from, None where it was never read.
        first: the kernel's counters at the first reading.
        pairs: by page gauge, in pages at the last reading that no older events follow: the
            reconstructed value, None where it is not reconstructed, and the kernel's, None where it
            was not read.
        at_scan_stop: readings that the probe itself took when a pass ended, without any race.
        at_scan_stop_differing: those of them in which a gauge differed.
    """

    def __init__(self) -> None:
        self.counters: dict[Gauge, int] = {}
        self.failures: dict[Gauge, tuple[int, int]] = {}
        self.old: dict[Gauge, int | None] = {}
        self.first: dict[Gauge, int] = {}
        self.pairs: dict[Gauge, tuple[int | None, int | None]] = {}
        self.at_scan_stop = 0
        self.at_scan_stop_differing = 0
        self._read_at: dict[Gauge, int] = {}

    def read(self, reading: Reading, reconstruction: Reconstruction) -> None:
        """Compare `reading` with `reconstruction`, the state after the batch that ends with it."""
        sample = dict(reading.values)
        if reading.pages_volatile is not None:
            sample[Gauge.PAGES_VOLATILE] = reading.pages_volatile
        reconstruction.start(sample)
        self.first = self.first or dict(sample)
        self.counters.update(sample)
        for gauge in sample:
            self._read_at[gauge] = reading.ns
            self.old.pop(gauge, None)
        for gauge, why in reading.failed.items():
            self.failures[gauge] = self.failures.get(gauge, (0, 0))[0] + 1, why
            self.old[gauge] = self._read_at.get(gauge)
        if reading.behind:
            return
        self.pairs = {
            gauge: (ours, sample.get(gauge)) for gauge, ours in reconstruction.gauges().items()
        }
        if reading.at_scan_stop:
            complete = [pair for pair in self.pairs.values() if None not in pair]
            if complete:
                self.at_scan_stop += 1
                self.at_scan_stop_differing += any(ours != theirs for ours, theirs in complete)

    def to_json(self) -> dict[str, dict[str, int | None]]:
        """Each page gauge: reconstructed, kernel, difference (None where not reconstructed)."""
        shown = {}
        for gauge in PAGE_GAUGES:
            ours, theirs = self.pairs.get(gauge, (None, None))
            apart = ours - theirs if ours is not None and theirs is not None else None
            shown[gauge.name.lower()] = {
                "reconstructed": ours,
                "kernel": theirs,
                "difference": apart,
            }
        return shown
