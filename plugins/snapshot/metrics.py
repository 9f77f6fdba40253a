"""The metric family of the snapshot."""

from __future__ import annotations

from prometheus_client.core import GaugeMetricFamily, Metric


def family(mapped_pages: int) -> Metric:
    """Page table entries that mapped KSM pages before the first event."""
    return GaugeMetricFamily(
        "ksmtrace_snapshot_mapped_pages",
        "Page table entries that mapped KSM pages when the trace began. Above 0: the tracer joined late.",
        mapped_pages,
    )
