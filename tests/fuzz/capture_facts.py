"""Captures whose checksum fits: any facts of a session in the header."""

import zlib

import pyarrow as pa

from fuzz.common import documented, folder
from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.schema import CRC, KEYS, build_schema
from support.streams import session

_PLAIN = build_schema(session(), 0)


def target(data):
    metadata = {**_PLAIN.metadata, b"session": data}
    metadata[CRC] = str(zlib.crc32(b"\n".join(k + b"=" + metadata[k] for k in KEYS))).encode()
    path = folder() / "capture"
    pa.ipc.new_stream(path, _PLAIN.with_metadata(metadata)).close()
    with documented, open_capture(path) as capture:
        assert list(capture.batches()) == []
        capture.session.to_json()


def seeds():
    yield "session", _PLAIN.metadata[b"session"]
    yield "nothing", b"{}"
