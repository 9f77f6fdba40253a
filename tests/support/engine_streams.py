"""Runs of the engine as one array of records, and comparisons of them."""

from contextlib import suppress
from itertools import pairwise

import numpy as np

from ksmtrace.engine.source import EngineSource
from ksmtrace.engine_replay.replay import EngineReplay
from ksmtrace.events import EventBatch
from ksmtrace.workload.tunables import RefusedError


def recorded(workload, variant=None):
    """(session, records) of a run; up to where a tunable is refused."""
    source = EngineSource(workload, variant=variant)
    batches = []
    with suppress(RefusedError):
        batches.extend(batch.events for batch in source.batches())
    return source.session, np.concatenate(batches)


def followed(session, records, *, cuts=(), variant=None):
    """The comparison of these records, handed over in batches that are cut before each index of `cuts`."""
    replay = EngineReplay(session, variant)
    edges = sorted({0, len(records), *cuts})
    for start, end in pairwise(edges):
        replay.apply(EventBatch(records[start:end]))
    replay.end()
    return replay
