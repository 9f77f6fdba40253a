"""Runs of the engine as arrays of records, and the engine's verdict on such arrays."""

from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ksmtrace.conformance.comparison import Comparison
from ksmtrace.events import EventBatch, EventKind
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.tunables import RefusedError


def recorded(workload, variant=None):
    """(session, records) of a run; up to where a tunable is refused."""
    source = EngineSource(workload, variant=variant)
    batches = []
    with suppress(RefusedError):
        batches.extend(batch.events for batch in source.batches())
    return source.session, np.concatenate(batches)


def without_writes(session, records):
    """The same as an older capture has them: without the writes of tunables."""
    probes = {kind: probe for kind, probe in session.probes.items() if kind != EventKind.TUNABLE}
    return replace(session, probes=probes), records[records["kind"] != EventKind.TUNABLE]


def followed(session, records, *, cuts=(), variant=None):
    """The comparison of these records, handed over in batches that are cut before each index of
    `cuts`."""
    replay = Comparison(session, variant)
    edges = sorted({0, len(records), *cuts})
    for start, end in pairwise(edges):
        replay.apply(EventBatch(records[start:end]))
    replay.end()
    return replay
