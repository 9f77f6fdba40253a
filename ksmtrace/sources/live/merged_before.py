"""Pages that KSM had merged before the trace began, read from pagemap once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records, empty_records
from ksmtrace.kernel.pagemap import KsmPageReader, KsmPages, ksm_page_file
from ksmtrace.session import Exactness, Probe

_MOST_NAMED = 10


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


class MergedBefore:
    """SNAPSHOT events of all KSM pages of all processes, read as they are asked for.

    Args:
        seen: whether anything is to be read.

    Attributes:
        warnings: what was not read, one line each.
    """

    def __init__(self, *, seen: bool) -> None:
        self._reader = KsmPageReader() if seen else None
        self.warnings: list[str] = []

    def batches(self) -> Iterator[EventBatch]:
        """The events, with an empty batch wherever none of the pages just looked at is merged.

        A second call gives nothing.
        """
        reader, self._reader = self._reader, None
        if reader is None:
            return
        try:
            for pages in reader.pieces():
                yield EventBatch(_records(pages))
        except OSError as error:
            self.warnings.append(f"what was merged before was not read to its end: {error}")
        if reader.left_out:
            named = ", ".join(map(str, reader.left_out[:_MOST_NAMED]))
            more = ", …" if len(reader.left_out) > _MOST_NAMED else ""
            self.warnings.append(
                "what was merged before was read in part: the address spaces are too large for "
                f"this kernel (PAGEMAP_SCAN came with 6.7); something is missing of pid {named}"
                f"{more}"
            )

    def cut(self) -> None:
        """Nobody reads on: the run ended."""
        self.warnings.append("what was merged before was not read to its end: the run ended")


def _records(pages: KsmPages) -> Records:
    records = empty_records(len(pages.pid))
    records["kind"] = EventKind.SNAPSHOT
    records["ts"] = time.monotonic_ns()
    records["address"] = pages.address
    records["pfn"] = pages.pfn
    records["aux"] = pages.pid
    return records
