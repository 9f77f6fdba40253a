"""Rewrites a capture in large record batches: `python -m tools.compact FROM TO`.

A recorder writes out what it has every second, so a slow guest's capture is in many pieces and
larger; the events are the same.
"""

import sys

import numpy as np

from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.writer import CaptureWriter

PIECE = 32768


def compact(source: str, target: str) -> None:
    """All events of the capture at `source`, with its session, to `target`."""
    with open_capture(source) as capture:
        events = np.concatenate([batch.events for batch in capture.batches()])
        assert not capture.warnings, capture.warnings
        with CaptureWriter(target, capture.session) as writer:
            for first in range(0, len(events), PIECE):
                writer.write(events[first : first + PIECE])
                writer.flush()


if __name__ == "__main__":
    compact(*sys.argv[1:])
