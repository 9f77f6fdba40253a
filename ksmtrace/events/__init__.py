"""Events: their kinds, the 64-byte record of one, and batches of records."""

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag, Gauge, ProcessGauge, ProcessText
from ksmtrace.events.record import RECORD, empty_records

__all__ = [
    "RECORD",
    "EventBatch",
    "EventKind",
    "Flag",
    "Gauge",
    "ProcessGauge",
    "ProcessText",
    "empty_records",
]
