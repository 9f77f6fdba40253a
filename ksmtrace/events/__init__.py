"""The vocabulary: kinds of event, the 64-byte record, and batches of records."""

from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind, Flag, Gauge
from ksmtrace.events.record import RECORD, empty_records

__all__ = ["RECORD", "EventBatch", "EventKind", "Flag", "Gauge", "empty_records"]
