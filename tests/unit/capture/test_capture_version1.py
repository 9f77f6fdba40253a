"""Captures in the first version of the format stay readable for ever."""

from pathlib import Path

import numpy as np

from ksmtrace.capture.reader import open_capture
from ksmtrace.events import EventKind
from ksmtrace.session import Exactness, Kernel, Probe

VERSION1 = Path(__file__).parent / "version1.ksmtrace"

COLUMNS = {
    "ts": "<u8",
    "seq": "<u2",
    "cpu": "<u2",
    "err": "<i2",
    "kind": "u1",
    "flags": "u1",
    "oldchecksum": "<u4",
    "checksum": "<u4",
    "mm": "<u8",
    "address": "<u8",
    "pfn": "<u8",
    "rmap_item": "<u8",
    "aux": "<u8",
}


def test_a_capture_of_version_1_is_read():
    written = np.arange(1024, dtype="<u4").view(list(COLUMNS.items()))
    with open_capture(VERSION1) as capture:
        events = np.concatenate([batch.events for batch in capture.batches()])
        session = capture.session
        assert capture.warnings == []
    for name in COLUMNS:
        assert events[name].tolist() == written[name].tolist()
    assert session.kernel == Kernel("6.1.0-version1", "ab" * 20, "x86_64", 4096, 64)
    assert session.tier == "full"
    assert session.probes == {
        EventKind.BREAK_COW: Probe("kprobe:break_cow", Exactness.EXACT),
        EventKind.MM_EXIT: Probe("", Exactness.ABSENT, "not here"),
    }
    assert session.tunables == {"pages_to_scan": "100"}
    assert (session.monotonic_ns, session.realtime_ns) == (123, 456)
    assert session.capture_id == "version-1"
