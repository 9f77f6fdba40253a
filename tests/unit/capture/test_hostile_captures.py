"""Captures whose checksums fit and whose content ksmtrace never wrote: each is refused or cut."""

import json
import math
import resource
import subprocess
import sys
import zlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ksmtrace.capture.decoded import MOST_BATCH_BYTES, decoded_bytes
from ksmtrace.capture.facts import parse_number, parse_session
from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.schema import CRC, KEYS, build_schema, to_arrow
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import RECORD, EventKind, empty_records
from ksmtrace.plugins import BUILTINS, Role
from ksmtrace.session import Session
from ksmtrace.sources.capture import CaptureSource
from support.command import assert_one_line, ksmtrace
from support.runs import plugin, runner
from support.streams import events, sample, session

FACTS = session().to_json()
ODD = [
    None, True, False, -1, 0, 3, 2**63, 2**64, 10**400, 1.5, math.nan, math.inf, -math.inf, "",
    "x" * 5000, "\x1b[31m", "\ud800", [], [[]], [1], {}, {"a": 1}, "absent", {"": ""},
]  # fmt: skip


def paths(value, at=()):
    """Every place in a JSON value."""
    yield at
    if isinstance(value, dict):
        for key, one in value.items():
            yield from paths(one, (*at, key))


def put(value, at, odd):
    """The value with another one at a place."""
    if not at:
        return odd
    return {**value, at[0]: put(value[at[0]], at[1:], odd)}


def hostile(path, facts=None, batches=(), **keys):
    """Write a capture with these facts and a checksum that fits."""
    schema = build_schema(session(), 0)
    metadata = dict(schema.metadata)
    if facts is not None:
        metadata[b"session"] = facts if isinstance(facts, bytes) else json.dumps(facts).encode()
    metadata |= {key.encode(): value for key, value in keys.items()}
    metadata[CRC] = str(zlib.crc32(b"\n".join(k + b"=" + metadata[k] for k in KEYS))).encode()
    schema = schema.with_metadata(metadata)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(path, schema, options=options) as sink:
        for records in (empty_records(0), *batches):
            batch, marks = to_arrow(records, schema)
            sink.write_batch(batch, custom_metadata=marks)
    return path


def refused(path):
    with pytest.raises(KsmtraceError) as caught:
        open_capture(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    return str(caught.value)


def read(path, **how):
    with open_capture(path, **how) as capture:
        return list(capture.batches()), capture.warnings


@pytest.mark.parametrize("constant", [b"Infinity", b"-Infinity", b"NaN"])
@pytest.mark.parametrize("fact", ["realtime_ns", "monotonic_ns", "share"])
def test_constants_that_are_no_json(tmp_path, constant, fact):
    text = json.dumps(FACTS).encode()
    if fact == "share":
        text = text.replace(b'"note": ""', b'"note": "", "share": ' + constant, 1)
    else:
        text = text.replace(f'"{fact}": {FACTS[fact]}'.encode(), f'"{fact}": '.encode() + constant)
    assert constant in text
    assert constant.decode() in refused(hostile(tmp_path / "a", text))


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"", b"\xff", b"1" * 5000])
def test_json_that_is_deep_or_none(tmp_path, text):
    refused(hostile(tmp_path / "a", text))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
def test_each_fact_by_each_odd_value(odd):
    """A session is refused by a ValueError, or is one that is as good as any: all of it prints as
    JSON, and counts."""
    for at in paths(FACTS):
        facts = put(FACTS, at, odd)
        try:
            found = parse_session(json.dumps(facts).encode(), "capture")
        except ValueError:
            continue
        assert isinstance(found, Session)
        json.dumps(found.to_json(), allow_nan=False).encode()
        assert 0 <= found.realtime_ns < 2**63
        assert all(isinstance(text, str) for text in found.tunables.values())
        assert all(isinstance(probe.note, str) for probe in found.probes.values())
        assert found.kernel.page_size_bytes in (4096, 16384, 65536)


def test_the_error_names_the_fact(tmp_path):
    kernel = {**FACTS["kernel"], "page_size_bytes": 3000}
    assert "kernel.page_size_bytes" in refused(hostile(tmp_path / "a", {**FACTS, "kernel": kernel}))
    assert "tunables.run" in refused(hostile(tmp_path / "b", {**FACTS, "tunables": {"run": 1}}))
    assert "only_pids" in refused(hostile(tmp_path / "c", {**FACTS, "only_pids": [2**31]}))


@pytest.mark.parametrize("text", [b"-5", b"+1", b"1_0", b"", b" 1", b"\xd9\xa3", b"9" * 30, b"1.0"])
def test_segments_and_versions_are_plain_numbers(tmp_path, text):
    assert "segment" in refused(hostile(tmp_path / "a", segment=text))
    refused(hostile(tmp_path / "b", format_version=text))
    with pytest.raises(ValueError, match="segment is no number"):
        parse_number(text, "segment", 10)


def zeros(count):
    return np.zeros(count, dtype=RECORD)


def test_a_batch_that_unfolds_is_refused_before_it_is_decoded(tmp_path):
    """20 million rows in 46 KB, in a process that has no room for them."""
    rows = MOST_BATCH_BYTES // RECORD.itemsize
    path = hostile(tmp_path / "a", batches=[zeros(10), zeros(20_000_000)])
    assert path.stat().st_size < 100_000
    with open_capture(path) as capture:
        batches = capture.batches()
        assert len(next(batches)) == 10
        with pytest.raises(KsmtraceError, match="--max-batch"):
            next(batches)
    ran = ksmtrace(
        "replay", path, "--json",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
    )  # fmt: skip
    assert_one_line(ran, 2, "decodes to 1221 MiB", "--max-batch")
    whole = hostile(tmp_path / "b", batches=[zeros(rows)])
    assert len(read(whole)[0][0]) == rows
    more = hostile(tmp_path / "c", batches=[zeros(rows + 1)])
    with pytest.raises(KsmtraceError):
        read(more)
    assert len(read(more, most_batch_bytes=1 << 30)[0][0]) == rows + 1
    ran = ksmtrace("whatif", more, "--max-batch", "100")
    assert "--max-batch" not in ran.stderr


@given(counts=st.lists(st.integers(0, 3000), max_size=5), compressed=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_sizes_are_those_of_arrow(tmp_path, counts, compressed):
    """Of each batch, with what pyarrow says of it once it has decoded it."""
    schema = pa.schema([("a", pa.uint64()), ("b", pa.uint8()), ("c", pa.string())])
    options = pa.ipc.IpcWriteOptions(compression="zstd" if compressed else None)
    path = tmp_path / "a"
    with pa.ipc.new_stream(path, schema, options=options) as sink:
        for count in counts:
            columns = [pa.array(range(count), pa.uint64()), pa.array([7] * count, pa.uint8())]
            columns.append(pa.array(["text"] * count, pa.string()))
            sink.write_batch(pa.record_batch(columns, schema=schema))
    with path.open("rb") as file:
        stream = pa.ipc.open_stream(file)
        for count in counts:
            told = decoded_bytes(file.fileno(), file.tell())
            batch = stream.read_next_batch()
            held = sum(b.size for c in batch.columns for b in c.buffers() if b is not None)
            assert count * 9 <= told <= held + 64 * 5
            assert held <= told + 64 * 5
        assert decoded_bytes(file.fileno(), file.tell()) == 0


@given(place=st.integers(0, 4000), byte=st.integers(0, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_never_passes_by_the_limit(tmp_path, place, byte):
    """What pyarrow decodes is no larger than what was told of it, wherever the file was changed."""
    path = hostile(tmp_path / "a", batches=[zeros(200)])
    content = bytearray(path.read_bytes())
    content[len(content) - 1 - place % (len(content) // 2)] = byte
    path.write_bytes(content)
    with path.open("rb") as file:
        try:
            stream = pa.ipc.open_stream(file)
            while True:
                try:
                    told = decoded_bytes(file.fileno(), file.tell())
                except ValueError:
                    return
                batch = stream.read_next_batch()
                assert batch.get_total_buffer_size() <= told + 64 * 13
        except (StopIteration, pa.ArrowException, OSError, ValueError):
            pass


HOUR = 3600 * 10**9


@pytest.mark.parametrize(
    ("times", "kept", "words"),
    [
        ([[5, 3], [HOUR, 9]], 4, None),
        ([[1, 2 * HOUR], [5]], 2, "goes back in time"),
        ([[2 * HOUR, 1]], 0, "goes back in time"),
        ([[1], [2**63]], 1, "no clock shows"),
        ([[2**64 - 1]], 0, "no clock shows"),
        ([[0, 0], [9, 0]], 4, None),
    ],
)
def test_times_are_of_one_clock_or_left_out(tmp_path, times, kept, words):
    batches = [events(*({"ts": ts} for ts in some)).events for some in times]
    found, warnings = read(hostile(tmp_path / "a", batches=batches))
    assert sum(map(len, found)) == kept
    assert words is None or words in warnings[0]


ANALYZERS = [b.name for b in BUILTINS if b.role is Role.ANALYZER]
EXTREMES = [0, 1, 4096, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]


@st.composite
def hostile_records(draw):
    """Records of every kind with numbers that no kernel has."""
    count = draw(st.integers(1, 40))
    records = empty_records(count)
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    for name in RECORD.names:
        info = np.iinfo(RECORD[name])
        usual = generator.integers(0, 4, count, dtype=np.uint64)
        odd = generator.choice(np.array(EXTREMES, dtype=np.uint64), count)
        values = np.where(generator.random(count) < draw(st.sampled_from([0.0, 0.3])), odd, usual)
        records[name] = values & np.uint64(info.max) if info.min == 0 else values.view("<i8")
    records["kind"] = generator.choice([int(kind) for kind in EventKind], count)
    records["ts"] %= HOUR
    first = events(*sample(pages_shared=0, pages_sharing=0, pages_unshared=0, pages_volatile=0))
    return np.concatenate([first.events, records])


@given(records=hostile_records())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_records_that_no_kernel_sends_end_no_replay(tmp_path, records):
    path = tmp_path / "a"
    with CaptureWriter(path, session()) as writer:
        writer.write(records)
    source = CaptureSource(path, speed=None)
    run = runner([], {name: plugin(name) for name in ANALYZERS}, source.session, interval=3600)
    run.source = source
    found = run.run()
    json.dumps(found.document, allow_nan=False)
    list(found.metrics)


def test_a_recording_of_more_digits_than_python_reads(tmp_path):
    text = json.dumps(FACTS).encode().replace(b'"realtime_ns": 1', b'"realtime_ns": ' + b"1" * 5000)
    assert sys.get_int_max_str_digits() < 5000
    refused(hostile(tmp_path / "a", text))


def test_a_head_that_claims_gigabytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xff\xff\xff\xff" + (2**31 - 1).to_bytes(4, "little") + bytes(1000))
    assert "not a ksmtrace capture" in refused(path)
    ran = subprocess.run(
        [sys.executable, "-c", f"from ksmtrace.capture.reader import is_capture\n"
         f"assert not is_capture({str(path)!r})"], check=False
    )  # fmt: skip
    assert ran.returncode == 0
