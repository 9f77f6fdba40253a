"""Declares the figures of the snapshot and their metric families."""

from __future__ import annotations

from ksmtrace.figures import FigureSpec, gauge

FIGURES = (
    FigureSpec(
        "via",
        "text",
        "How KSM pages were recognised; KPF_KSM lies on some kernels, see `probes.snapshot`.",
    ),
    FigureSpec(
        "ksm_pages",
        "pages",
        "Distinct page frames; as pages_shared, except for nodes that nothing maps any more.",
    ),
    FigureSpec(
        "mapped_pages",
        "pages",
        "Page table entries; as pages_shared + pages_sharing, except for pages that have left "
        "since the last pass.",
        metric=gauge(
            "ksmtrace_snapshot_mapped_pages",
            "Page table entries that mapped KSM pages when the trace began. "
            "Above 0: the tracer joined late.",
        ),
    ),
    FigureSpec(
        "processes[]",
        "",
        "The ten processes with most of them, most first.",
        of=(
            FigureSpec("pid", "", "Its pid."),
            FigureSpec("mapped_pages", "pages", "Its page table entries."),
        ),
    ),
    FigureSpec("other_mapped_pages", "pages", "Those of all other processes."),
)
