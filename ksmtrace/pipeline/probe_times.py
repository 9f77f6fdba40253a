"""What the tracer's programs took of ksmd, over all samples of a run."""

from __future__ import annotations

import errno
from typing import Any

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.probe_time import ProbeTime, probe_times


class ProbeTimes:
    """The samples of a run.

    Attributes:
        last: the last one; None before the first.
        samples: how many there were of which something is known.
        sampled_ns, ksmd_ns, in_ksmd_ns, elsewhere_ns: sums over these, as in `ProbeTime`.
    """

    def __init__(self) -> None:
        self.last: ProbeTime | None = None
        self.samples = 0
        self.sampled_ns = self.ksmd_ns = self.in_ksmd_ns = self.elsewhere_ns = 0

    def apply(self, batch: EventBatch) -> None:
        """Follow the samples of a batch."""
        for sample in probe_times(batch):
            self.last = sample
            if not sample.err:
                self.samples += 1
                self.sampled_ns += sample.sample_ns
                self.ksmd_ns += sample.ksmd_ns
                self.in_ksmd_ns += sample.in_ksmd_ns
                self.elsewhere_ns += sample.elsewhere_ns

    @property
    def ratio(self) -> float | None:
        """The share of ksmd's CPU time in all samples; None where it is not known."""
        return min(1.0, self.in_ksmd_ns / self.ksmd_ns) if self.ksmd_ns else None

    def to_json(self) -> dict[str, Any]:
        """The document's `probe_time`."""
        last = self.last
        known = self.samples > 0
        return {
            "samples": self.samples,
            "ksmd_ratio": self.ratio,
            "last_ksmd_ratio": None if last is None else last.ratio,
            "sampled_seconds": self.sampled_ns / 1e9,
            "ksmd_seconds": self.ksmd_ns / 1e9 if known else None,
            "in_ksmd_seconds": self.in_ksmd_ns / 1e9 if known else None,
            "elsewhere_seconds": self.elsewhere_ns / 1e9 if known else None,
            "unknown": self._why_unknown(),
        }

    def _why_unknown(self) -> str:
        if self.last is None:
            return "no sample yet"
        if self.last.err:
            name = errno.errorcode.get(-self.last.err, str(self.last.err))
            return f"the kernel does not count (BPF_ENABLE_STATS: {name})"
        return "" if self.ksmd_ns else "ksmd did not run in a sample"
