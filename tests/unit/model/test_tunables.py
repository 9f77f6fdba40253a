"""Tunables as the reconstruction follows them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.events import Gauge
from ksmtrace.events.record import RECORD
from ksmtrace.events.tunable import TunableWrite, tunable_records
from ksmtrace.pipeline.state import RunState
from support.streams import events, sample, session

NAMES = st.sampled_from(["run", "pages_to_scan", "smart_scan"])
STEPS = st.lists(
    st.tuples(st.just("write"), NAMES, st.integers(0, 9), st.sampled_from([0, -16]))
    | st.tuples(st.just("read"), st.integers(0, 9)),
    max_size=20,
)


def _rows(step):
    if step[0] == "read":
        return sample(pages_shared=1, pages_to_scan=step[1])
    _, name, value, err = step
    (record,) = tunable_records(TunableWrite(name, str(value), err))
    return [{column: record[column].item() for column in RECORD.names}]


@given(STEPS, st.integers(1, 5))
def test_writes_that_were_taken_and_pages_to_scan_as_read_in_their_order(steps, length):
    """However the stream is cut."""
    began = {"run": "0", "pages_to_scan": "100"}
    expected = dict(began)
    for step in steps:
        if step[0] == "read":
            expected["pages_to_scan"] = str(step[1])
        elif not step[3]:
            expected[step[1]] = str(step[2])
    rows = [row for step in steps for row in _rows(step)]
    state = RunState(replace(session(), tunables=began))
    for start in range(0, len(rows), length):
        for part in state.reconstruction.cut(events(*rows[start : start + length])):
            state.apply(part)
    assert state.reconstruction.tunables == expected
    assert began == {"run": "0", "pages_to_scan": "100"}
    assert Gauge.PAGES_TO_SCAN.name.lower() in state.reconstruction.tunables
