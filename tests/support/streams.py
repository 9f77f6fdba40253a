"""Streams of events made by hand, and a source that plays them."""

from collections.abc import Iterator, Sequence

from ksmtrace.events import EventBatch, EventKind, Flag, Gauge, empty_records
from ksmtrace.session import Exactness, Kernel, Probe, Session

KERNEL = Kernel("6.1.0-test", "00" * 20, "x86_64", 4096)


def session(
    *, tier: str = "full", unseen: Sequence[EventKind] = (), source: str = "live"
) -> Session:
    """A session in which every kind is seen exactly, except `unseen`."""
    probes = {
        kind: Probe("", Exactness.ABSENT, "test")
        if kind in unseen
        else Probe(f"test:{kind.name}", Exactness.EXACT)
        for kind in EventKind
        if kind is not EventKind.LOST
    }
    return Session(
        source, KERNEL, tier, probes, {"pages_to_scan": "100"}, 0, 10**18, "test-capture"
    )


def events(*rows: dict) -> EventBatch:
    """A batch with one record per row; columns left out are 0, `ts` counts up, `seq` too."""
    records = empty_records(len(rows))
    for index, row in enumerate(rows):
        records["ts"][index] = index + 1
        records["seq"][index] = index % 65536
        for column, value in row.items():
            records[column][index] = value
    return EventBatch(records)


def sample(ts: int = 0, *, at_scan_stop: bool = False, **gauges: int) -> list[dict]:
    """Rows of one reading of the kernel's counters."""
    rows = [
        {"kind": EventKind.SAMPLE, "ts": ts, "address": Gauge[name.upper()], "aux": value % 2**64}
        for name, value in gauges.items()
    ]
    rows[-1]["flags"] = Flag.LAST_OF_SAMPLE | (Flag.AT_SCAN_STOP if at_scan_stop else 0)
    if at_scan_stop:
        for row in rows:
            row["flags"] = row.get("flags", 0) | Flag.AT_SCAN_STOP
    return rows


class ListSource:
    """A source that plays batches from a list."""

    def __init__(self, session: Session, batches: Sequence[EventBatch]) -> None:
        self.session = session
        self._batches = batches
        self.closed = False

    def batches(self) -> Iterator[EventBatch]:
        yield from self._batches

    def stop(self) -> None:
        self._batches = ()

    def close(self) -> None:
        self.closed = True
