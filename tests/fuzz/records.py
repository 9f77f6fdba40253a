"""Records that a capture may hold, through every analyzer and all that it answers."""

import numpy as np

from fuzz.common import documented
from ksmtrace.capture.plausible import Plausible
from ksmtrace.events import RECORD, EventBatch
from ksmtrace.plugins import BUILTINS, Role
from support.runs import EMPTY, appended, examined, plugin, process, runner
from support.streams import events, sample, session

_ANALYZERS = [builtin.name for builtin in BUILTINS if builtin.role is Role.ANALYZER]
_MOST = 60


def target(data):
    size = RECORD.itemsize
    records = np.frombuffer(data[: min(_MOST, len(data) // size) * size], dtype=RECORD)
    if Plausible().fault(records):
        return
    plugins = {name: plugin(name) for name in _ANALYZERS}
    half = len(records) // 2
    batches = [EventBatch(part) for part in (records[:half], records[half:]) if len(part)]
    with documented:
        runner(batches, plugins, session(), interval=3600).run()


def seeds():
    fault = {"kind": 16, "mm": 1, "address": 4096, "aux": 2000}
    rows = [*EMPTY, process(1, 7, b"a"), examined(5, new=3), appended(5, 9, new=True), fault]
    rows += sample(at_scan_stop=True, pages_shared=1)
    yield "some-of-each", events(*rows).events.tobytes()
    row = {"mm": 1, "rmap_item": 8, "address": 4096, "aux": 3}
    kinds = [{"kind": kind, **row} for kind in range(24)]
    yield "every-kind", events(*EMPTY, *kinds).events.tobytes()
