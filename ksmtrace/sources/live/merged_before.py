"""Pages that KSM had merged before the trace began, read from pagemap once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import empty_records
from ksmtrace.kernel.pagemap import ksm_page_file, read_ksm_pages
from ksmtrace.session import Exactness, Probe

_BATCH = 65536


def snapshot_probe() -> Probe:
    """How SNAPSHOT events are read here."""
    try:
        file = ksm_page_file()
    except OSError as error:
        return Probe("", Exactness.ABSENT, f"page frames cannot be read here: {error}")
    if file == "kpageflags":
        return Probe(
            "/proc/<pid>/pagemap, /proc/kpageflags",
            Exactness.SAMPLED,
            "pages change while they are read; "
            "what was written to since the last pass is in the gauges still",
        )
    return Probe(
        "/proc/<pid>/pagemap, /proc/kpagecount",
        Exactness.SAMPLED,
        "KPF_KSM lies on this kernel: frames mapped more than once are taken for KSM pages",
    )


def read_merged_before() -> Iterator[EventBatch]:
    """SNAPSHOT events of all KSM pages of all processes."""
    pages = read_ksm_pages()
    for first in range(0, len(pages.pid), _BATCH):
        part = slice(first, first + _BATCH)
        records = empty_records(len(pages.pid[part]))
        records["kind"] = EventKind.SNAPSHOT
        records["ts"] = time.monotonic_ns()
        records["address"] = pages.address[part]
        records["pfn"] = pages.pfn[part]
        records["aux"] = pages.pid[part]
        yield EventBatch(records)
