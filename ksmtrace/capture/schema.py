"""The format of capture files: the header of a segment, and events as Arrow columns.

A segment is an Arrow IPC stream with one column per field of `RECORD`. The metadata of its schema
hold `KEYS`. Each record batch carries `crc32` in its custom metadata (of the columns' values, in
the order of `RECORD`); the last one has no rows and carries `end`: FINISHED, or CONTINUED when the
next segment goes on. Where the first segments of a recording may be removed, each later one begins
with a record batch that carries `known`: what a reader has to know who begins there, and others
pass over. Readers of every later version read version 1.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ksmtrace import __version__
from ksmtrace.capture.facts import parse_number, parse_session
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import RECORD, EventKind, Gauge
from ksmtrace.events.record import Records
from ksmtrace.session import Session

ArrowSchema = Any  # pyarrow has no types
ArrowBatch = Any
ArrowArray = Any

FORMAT = b"ksmtrace.capture"
VERSION = 1
KEYS = (
    b"capture_id",
    b"event_kinds",
    b"format",
    b"format_version",
    b"gauges",
    b"ksmtrace_version",
    b"segment",
    b"session",
)
"""Keys of the schema's metadata; one more, `crc32`, guards them."""

CRC = b"crc32"
END = b"end"
FINISHED = b"finished"
CONTINUED = b"continued"
KNOWN = b"known"
"""Marks a record batch that says anew what was known when the segment began, for readers who begin
with it."""

UNITS = {
    "ts": "nanoseconds, CLOCK_MONOTONIC",
    "seq": "count per CPU, modulo 65536",
    "cpu": "CPU number",
    "err": "0 or -errno",
    "kind": "number of event_kinds",
    "flags": "bits, by kind",
    "oldchecksum": "checksum",
    "checksum": "checksum",
    "mm": "kernel address",
    "address": "user virtual address in bytes; SAMPLE: number of gauges",
    "pfn": "page frame number",
    "rmap_item": "kernel address",
    "aux": "by kind",
}
COLUMNS = tuple(UNITS)
_MOST_NUMBER = 10**9 - 1
_BLOCK = 2048  # events converted at a time: as many as stay in the processor's cache
TYPES: dict[str, Any] = {name: pa.from_numpy_dtype(RECORD[name]) for name in COLUMNS}


@dataclass(frozen=True, slots=True)
class Header:
    """The facts in the metadata of one segment."""

    session: Session
    capture_id: str
    segment: int


def segment_path(path: str, number: int) -> str:
    """Path of a segment of the capture at `path`: for 0 `path`, then PATH.0001 and so on."""
    return f"{path}.{number:04d}" if number else path


def build_schema(session: Session, segment: int) -> ArrowSchema:
    """The Arrow schema of one segment, metadata and units of columns included."""
    facts = {
        b"capture_id": session.capture_id.encode(),
        b"event_kinds": _names_as_json(EventKind),
        b"format": FORMAT,
        b"format_version": str(VERSION).encode(),
        b"gauges": _names_as_json(Gauge),
        b"ksmtrace_version": __version__.encode(),
        b"segment": str(segment).encode(),
        b"session": json.dumps(session.to_json()).encode(),
    }
    fields = [
        pa.field(name, TYPES[name], nullable=False, metadata={"unit": UNITS[name]})
        for name in COLUMNS
    ]
    return pa.schema(fields, metadata={**facts, CRC: _metadata_crc(facts)})


def is_capture_schema(schema: ArrowSchema) -> bool:
    """Whether an Arrow schema is that of a capture, of any version."""
    return bool((schema.metadata or {}).get(b"format") == FORMAT)


def parse_header(schema: ArrowSchema, path: str, source: str) -> Header:
    """The header in the schema of the segment at `path`; `source` becomes the session's.

    Raises:
        KsmtraceError: not a capture, of a newer version, or damaged.
    """
    if not is_capture_schema(schema):
        raise not_a_capture(path)
    facts: Mapping[bytes, bytes] = schema.metadata
    damaged = KsmtraceError(
        f"{path}: its header is damaged: get a fresh copy of the file, or record anew"
    )
    try:
        version = parse_number(facts[b"format_version"], "format_version", _MOST_NUMBER)
        if version > VERSION:
            raise KsmtraceError(
                f"{path}: capture format version {version} is newer than version {VERSION}, "
                f"which ksmtrace {__version__} reads: upgrade ksmtrace"
            )
        if version < 1 or facts[CRC] != _metadata_crc(facts):
            raise damaged
        header = Header(
            session=parse_session(facts[b"session"], source),
            capture_id=facts[b"capture_id"].decode(),
            segment=parse_number(facts[b"segment"], "segment", _MOST_NUMBER),
        )
    except KeyError as error:
        raise damaged from error
    except ValueError as error:
        raise KsmtraceError(
            f"{path}: its header is damaged ({error}): get a fresh copy of the file, or record anew"
        ) from error
    _check_columns(schema, path)
    return header


def not_a_capture(path: str) -> KsmtraceError:
    """The error for a file of another format."""
    return KsmtraceError(f"{path}: not a ksmtrace capture: name a file made by `ksmtrace record`")


def to_arrow(events: Records, schema: ArrowSchema) -> tuple[ArrowBatch, dict[bytes, bytes]]:
    """Events as (Arrow record batch, its custom metadata)."""
    columns = [np.empty(len(events), dtype=RECORD[name]) for name in COLUMNS]
    for start in range(0, len(events), _BLOCK):
        block = slice(start, start + _BLOCK)
        for name, values in zip(COLUMNS, columns, strict=True):
            values[block] = events[name][block]
    crc = 0
    for values in columns:
        crc = zlib.crc32(values.data, crc)
    # of pa.array and to_numpy the first call imports pandas where that is installed: half a second
    arrays = [
        pa.Array.from_buffers(TYPES[name], len(values), [None, pa.py_buffer(values)])
        for name, values in zip(COLUMNS, columns, strict=True)
    ]
    batch = pa.record_batch(arrays, schema=schema)
    return batch, {CRC: str(crc).encode()}


def from_arrow(batch: ArrowBatch, metadata: Mapping[bytes, bytes]) -> Records:
    """The events of a record batch, shape (n,), dtype `RECORD`; other columns are ignored.

    Raises:
        ValueError: the batch is damaged: a value is missing, or the checksum is missing or does not
            fit.
    """
    batch.validate()
    columns = [_values(batch.column(name), RECORD[name]) for name in COLUMNS]
    crc = 0
    for values in columns:
        crc = zlib.crc32(values.data, crc)
    if metadata.get(CRC) != str(crc).encode():
        raise ValueError("the checksum of a record batch is missing or does not fit")
    events = np.empty(batch.num_rows, dtype=RECORD)
    for start in range(0, len(events), _BLOCK):
        block = slice(start, start + _BLOCK)
        for name, values in zip(COLUMNS, columns, strict=True):
            events[name][block] = values[block]
    return events


def _values(column: ArrowArray, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """What a column holds, not copied.

    Raises:
        ValueError: a value is missing.
    """
    if column.null_count:
        raise ValueError("a value is missing")
    _, data = column.buffers()
    return np.ndarray(len(column), kind, data, column.offset * kind.itemsize)


def _check_columns(schema: ArrowSchema, path: str) -> None:
    for name, kind in TYPES.items():
        index = schema.get_field_index(name)
        if index < 0 or schema.field(index).type != kind:
            raise KsmtraceError(
                f"{path}: lacks the column {name!r} of type {kind}: "
                "the capture was changed, use the original"
            )


def _names_as_json(numbers: type[EventKind] | type[Gauge]) -> bytes:
    return json.dumps({member.name: member.value for member in numbers}).encode()


def _metadata_crc(facts: Mapping[bytes, bytes]) -> bytes:
    return str(zlib.crc32(b"\n".join(key + b"=" + facts[key] for key in KEYS))).encode()
