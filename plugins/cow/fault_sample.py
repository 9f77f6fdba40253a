"""Windows in which faults are seen, and how far the quantiles of those seen can be believed."""

from __future__ import annotations

from typing import Any

from ksmtrace.events import EventBatch, EventKind, Gauge
from ksmtrace.model.log_histogram import LogHistogram
from ksmtrace.model.order_statistics import quantile_ranks
from ksmtrace.session import Session


class FaultSample:
    """Follows the beginnings and ends of windows, in a run that attaches its probes by them."""

    def __init__(self) -> None:
        self._windows = 0
        self._open_ns = 0
        self._since: int | None = None
        self._last_ns = 0

    def apply(self, batch: EventBatch) -> None:
        """Take in the marks of a batch."""
        self._last_ns = max(self._last_ns, int(batch.events["ts"].max(initial=0)))
        samples = batch.of(EventKind.SAMPLE)
        marks = samples[samples["address"] == Gauge.FAULT_PROBES]
        for ns, attached in zip(marks["ts"].tolist(), marks["aux"].tolist(), strict=True):
            if attached and self._since is None:
                self._windows += 1
                self._since = ns
            elif not attached and self._since is not None:
                self._open_ns += max(0, ns - self._since)
                self._since = None

    def to_json(self, session: Session, latency: LogHistogram) -> dict[str, Any] | None:
        """The figures of `fault_sample`; None where faults are not seen by windows."""
        if not session.faults_by_windows:
            return None
        open_ns = self._open_ns
        if self._since is not None:
            open_ns += max(0, self._last_ns - self._since)
        ran = self._last_ns - session.monotonic_ns
        return {
            "windows": self._windows,
            "open_seconds": open_ns / 1e9,
            "open_ratio": open_ns / ran if ran > 0 else None,
            "faults": len(latency),
            **_between(latency, "p50", 0.5),
            **_between(latency, "p99", 0.99),
        }


def _between(latency: LogHistogram, name: str, share: float) -> dict[str, float | None]:
    count = len(latency)
    low, high = quantile_ranks(count, share) if count else (None, None)
    return {
        f"{name}_low_seconds": None if low is None else latency.lower_bound_of(low),
        f"{name}_high_seconds": None if high is None else latency.upper_bound_of(high),
    }
