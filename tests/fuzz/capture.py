"""Captures: any file."""

from fuzz.common import documented, file_of, folder
from ksmtrace.capture.reader import is_capture, open_capture
from ksmtrace.capture.writer import CaptureWriter
from support.streams import events, sample, session


def target(data):
    path = file_of(data)
    is_capture(str(path))
    with documented, open_capture(path) as capture:
        for batch in capture.batches():
            assert len(batch)
        assert all("\n" not in line for line in capture.warnings)


def seeds():
    path = folder() / "seed"
    for name, batches in (
        ("empty", ()),
        ("one-batch", (sample(pages_shared=1, pages_sharing=2),)),
        ("two-batches", (sample(pages_shared=1), [{"kind": 1, "mm": 4096, "address": 4096}] * 30)),
    ):
        with CaptureWriter(path, session()) as writer:
            for rows in batches:
                writer.write(events(*rows).events)
        yield name, path.read_bytes()
        path.unlink()
