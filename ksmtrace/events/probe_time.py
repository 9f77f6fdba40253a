"""What the tracer's own programs take of ksmd, as PROBE_TIME records, and the end of a stream."""

from __future__ import annotations

import errno
from dataclasses import dataclass

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records, empty_records

_MILLION = 1_000_000
_U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ProbeTime:
    """One sample of what the programs took.

    Attributes:
        sample_ns: how long the sample lasted.
        ksmd_ns: ksmd's CPU time in it.
        in_ksmd_ns: of that, what the programs took, the kernel's way into them included.
        elsewhere_ns: what they took of other threads.
        runs_in_ksmd: how often they ran in ksmd.
        runs_elsewhere: and in other threads.
        ts: CLOCK_MONOTONIC in nanoseconds at the end of the sample.
        err: why it is not known, -errno; 0 where it is.
    """

    sample_ns: int = 0
    ksmd_ns: int = 0
    in_ksmd_ns: int = 0
    elsewhere_ns: int = 0
    runs_in_ksmd: int = 0
    runs_elsewhere: int = 0
    ts: int = 0
    err: int = 0

    @property
    def ratio(self) -> float | None:
        """The share of ksmd's CPU time that the programs took.

        None where it is not known: the kernel did not count, or ksmd did not run.
        """
        if self.err or not self.ksmd_ns:
            return None
        return min(1.0, self.in_ksmd_ns / self.ksmd_ns)

    def to_records(self) -> Records:
        """The sample as one record."""
        record = empty_records(1)
        record["kind"], record["ts"], record["err"] = EventKind.PROBE_TIME, self.ts, self.err
        record["address"], record["pfn"] = self.sample_ns, self.ksmd_ns
        record["rmap_item"], record["aux"] = self.elsewhere_ns, self.in_ksmd_ns
        record["oldchecksum"] = min(self.runs_in_ksmd, _U32)
        record["checksum"] = min(self.runs_elsewhere, _U32)
        return record


def probe_times(batch: EventBatch) -> list[ProbeTime]:
    """The samples that a batch holds."""
    return [
        ProbeTime(
            sample_ns=int(record["address"]),
            ksmd_ns=int(record["pfn"]),
            in_ksmd_ns=int(record["aux"]),
            elsewhere_ns=int(record["rmap_item"]),
            runs_in_ksmd=int(record["oldchecksum"]),
            runs_elsewhere=int(record["checksum"]),
            ts=int(record["ts"]),
            err=int(record["err"]),
        )
        for record in batch.of(EventKind.PROBE_TIME)
    ]


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Why a stream of events ended before its run.

    Attributes:
        ratio: the share of ksmd's CPU time that the probes took.
        limit: the share that they were allowed.
        counted: whether rare events are counted from then on.
        ts: CLOCK_MONOTONIC in nanoseconds of the end.
    """

    ratio: float
    limit: float
    counted: bool = True
    ts: int = 0

    def to_records(self) -> Records:
        """The end as one record; shares are kept in millionths."""
        record = empty_records(1)
        record["kind"], record["ts"] = EventKind.STREAM_END, self.ts
        record["err"] = 0 if self.counted else -errno.EPERM
        record["aux"] = round(self.ratio * _MILLION)
        record["address"] = round(self.limit * _MILLION)
        return record

    @property
    def text(self) -> str:
        """What was measured, and what is allowed, in a few words."""
        took, limit = (f"{share * 100:.3g}%" for share in (self.ratio, self.limit))
        return f"the probes took {took} of ksmd's CPU time, {limit} are allowed"


def stream_end(batch: EventBatch) -> StreamEnd | None:
    """The end of the stream, where it is in this batch."""
    for record in batch.of(EventKind.STREAM_END):
        ratio, limit = int(record["aux"]) / _MILLION, int(record["address"]) / _MILLION
        return StreamEnd(ratio, limit, not record["err"], int(record["ts"]))
    return None
