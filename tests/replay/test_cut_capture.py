"""A capture of a real kernel, cut anywhere, gives a prefix of its events or one line of error."""

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ksmtrace.capture.reader import open_capture
from ksmtrace.errors import ExitStatus, KsmtraceError


class Whole:
    """The bundled capture, with a representation that hypothesis can print."""

    def __init__(self, path):
        self.content = path.read_bytes()
        with open_capture(str(path)) as capture:
            self.events = np.concatenate([batch.events for batch in capture.batches()])


@pytest.fixture(scope="module")
def whole(bundled_capture):
    return Whole(bundled_capture)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(share=st.floats(0, 1))
@example(share=0.0)
@example(share=1.0)
def test_cut_capture(whole, tmp_path, share):
    content, events = whole.content, whole.events
    end = round(share * len(content))
    cut = tmp_path / "cut.ksmtrace"
    cut.write_bytes(content[:end])
    try:
        with open_capture(str(cut)) as capture:
            pieces = [batch.events for batch in capture.batches()]
            warnings = capture.warnings
        refusal = None
    except KsmtraceError as error:
        refusal = error
    if refusal is not None:
        assert refusal.status is ExitStatus.BAD_INPUT
        assert end < 20_000  # only within the header is there nothing to replay
        return
    kept = np.concatenate(pieces) if pieces else events[:0]
    assert np.array_equal(kept, events[: len(kept)])
    if end < len(content):
        assert warnings
    else:
        assert len(kept) == len(events)
        assert not warnings
