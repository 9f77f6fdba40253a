"""A file that is no readable capture is refused in one line with the reason and the remedy."""

import json
import os
import subprocess
import sys
import zlib
from contextlib import contextmanager

import pyarrow as pa
import pytest

from ksmtrace import __version__
from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.schema import CRC, KEYS, UNITS, VERSION, build_schema
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.events import RECORD, EventKind, Gauge
from support import streams

NOBODY = 65534


@pytest.fixture
def capture(tmp_path):
    """Path of a capture with three events."""
    path = tmp_path / "a.ksmtrace"
    with CaptureWriter(path, streams.session()) as writer:
        writer.write(streams.events({"mm": 1}, {"mm": 2}, {"mm": 3}).events)
    return path


@contextmanager
def without_rights(path):
    """Make `path` unreadable for this process, root or not."""
    path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        path.chmod(0o700)


def refusal(path):
    """The one line with which `path` is refused."""
    with pytest.raises(KsmtraceError) as caught:
        open_capture(path)
    line = str(caught.value)
    assert caught.value.status == ExitStatus.BAD_INPUT
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


def rewrite(path, change):
    """Rewrite the file at `path` with `change(batch)` for each batch, its metadata kept."""
    with pa.ipc.open_stream(path) as stream:
        batches = []
        while True:
            try:
                batches.append(stream.read_next_batch_with_custom_metadata())
            except StopIteration:
                break
    changed = [(change(batch), metadata) for batch, metadata in batches]
    with pa.ipc.new_stream(path, changed[0][0].schema) as sink:
        for batch, metadata in changed:
            sink.write_batch(batch, custom_metadata=metadata)


def with_facts(path, crc_fits=True, **changes):
    """Change the metadata of the schema; None takes a key away."""

    def change(batch):
        facts = dict(batch.schema.metadata)
        for key, value in changes.items():
            facts[key.encode()] = value
        facts = {key: value for key, value in facts.items() if value is not None}
        if crc_fits and all(key in facts for key in KEYS):
            facts[CRC] = str(
                zlib.crc32(b"\n".join(key + b"=" + facts[key] for key in KEYS))
            ).encode()
        return batch.replace_schema_metadata(facts)

    rewrite(path, change)


def test_a_missing_file(tmp_path):
    assert "no such file" in refusal(tmp_path / "none")
    assert "cannot be read: Not a directory" in refusal(_touched(tmp_path / "file") / "below")


def test_a_directory(tmp_path):
    assert "is a directory" in refusal(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_a_file_without_right_to_read(tmp_path, capture):
    with without_rights(tmp_path):
        assert "cannot be read: Permission denied" in refusal(capture)


def test_an_empty_file(tmp_path):
    assert "is empty" in refusal(_touched(tmp_path / "a"))


@pytest.mark.parametrize("size", [1, 4, 7, 8, 9, 500])
def test_a_file_cut_in_its_header(capture, size):
    os.truncate(capture, size)
    assert "cut before its header was whole" in refusal(capture)


@pytest.mark.parametrize(
    "content",
    [
        b"\x7fELF" * 100,
        b"a line of text\n",
        b"ARROW1\0\0" + bytes(100),
        b"PAR1" * 50,
        bytes(5000),
        b"\xff" * 5000,
        b"\n",
    ],
)
def test_another_format(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert "not a ksmtrace capture" in refusal(tmp_path / "a")


def with_columns(batch, more):
    """The batch with these columns, by name, in place of its own or behind them."""
    columns = dict(zip(batch.schema.names, batch.columns, strict=True)) | more
    fields = [pa.field(name, column.type) for name, column in columns.items()]
    return pa.record_batch(list(columns.values()), pa.schema(fields, batch.schema.metadata))


@pytest.mark.parametrize("metadata", [None, {}, {"format": "something else"}])
def test_an_arrow_stream_of_something_else(tmp_path, metadata):
    batch = pa.RecordBatch.from_pydict({"ts": pa.array([1, 2])}).replace_schema_metadata(metadata)
    with pa.ipc.new_stream(tmp_path / "a", batch.schema) as sink:
        sink.write_batch(batch)
    assert "not a ksmtrace capture" in refusal(tmp_path / "a")


def test_a_newer_version_names_both_and_says_to_upgrade(capture):
    with_facts(capture, format_version=b"12", session=b"in a way of version 12")
    line = refusal(capture)
    assert "format version 12" in line
    assert f"version {VERSION}, which ksmtrace {__version__} reads" in line
    assert line.endswith("upgrade ksmtrace")


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": None},
        {"format_version": b"one"},
        {"format_version": b"0"},
        {"session": None},
        {"session": b"{"},
        {"session": b"{}"},
        {"session": b"[]"},
        {"session": b"\xff"},
        {"session": json.dumps({**streams.session().to_json(), "probes": []}).encode()},
        {"session": json.dumps({**streams.session().to_json(), "kernel": {}}).encode()},
        {"session": json.dumps({**streams.session().to_json(), "monotonic_ns": "x"}).encode()},
        {"segment": b"first"},
        {"segment": None},
        {"capture_id": b"\xff"},
        {"capture_id": None},
        {"gauges": b"{}", "crc_fits": False},
        {"crc32": None, "crc_fits": False},
    ],
)
def test_damaged_metadata(capture, changes):
    with_facts(capture, **changes)
    assert "header is damaged" in refusal(capture)


@pytest.mark.parametrize("name", RECORD.names)
def test_a_column_that_is_missing_or_of_another_type(capture, name):
    original = capture.read_bytes()
    rewrite(capture, lambda batch: batch.select([one for one in batch.schema.names if one != name]))
    assert f"lacks the column '{name}'" in refusal(capture)
    capture.write_bytes(original)

    def widened(batch):
        return with_columns(batch, {name: batch.column(name).cast(pa.float64())})

    rewrite(capture, widened)
    assert f"lacks the column '{name}'" in refusal(capture)


def test_further_columns_are_ignored_and_their_order_does_not_matter(capture):
    def change(batch):
        batch = batch.select(list(reversed(batch.schema.names)))
        return with_columns(batch, {"note": pa.array(["x"] * batch.num_rows, pa.string())})

    rewrite(capture, change)
    with open_capture(capture) as opened:
        (batch,) = opened.batches()
        assert batch.events["mm"].tolist() == [1, 2, 3]
        assert opened.warnings == []


@pytest.mark.parametrize("nulls", [True, False])
def test_a_batch_with_a_missing_value_or_checksum_is_not_read(capture, nulls):
    with pa.ipc.open_stream(capture) as stream:
        schema = stream.schema
    columns = [pa.array([None] if nulls else [0], field.type) for field in schema]
    loose = pa.schema([field.with_nullable(True) for field in schema], schema.metadata)
    with pa.ipc.new_stream(capture, loose) as sink:
        sink.write_batch(pa.record_batch(columns, schema=loose))
    with open_capture(capture) as opened:
        assert list(opened.batches()) == []
        assert "is cut or damaged" in opened.warnings[0]


def test_a_capture_explains_itself():
    schema = build_schema(streams.session(), 3)
    assert json.loads(schema.metadata[b"event_kinds"])["CMP_AND_MERGE_PAGE"] == 1
    assert json.loads(schema.metadata[b"event_kinds"]) == {k.name: k.value for k in EventKind}
    assert json.loads(schema.metadata[b"gauges"]) == {g.name: g.value for g in Gauge}
    assert schema.metadata[b"ksmtrace_version"].decode() == __version__
    assert schema.metadata[b"segment"] == b"3"
    assert schema.metadata[b"capture_id"] == b"test-capture"
    assert set(schema.metadata) == {*KEYS, CRC}
    assert {field.name: field.metadata[b"unit"].decode() for field in schema} == UNITS


def test_a_column_is_as_wide_as_its_field():
    schema = build_schema(streams.session(), 0)
    assert tuple(schema.names) == RECORD.names
    assert [pa.array([], field.type).to_numpy(zero_copy_only=False).dtype for field in schema] == [
        RECORD[name] for name in RECORD.names
    ]


def test_the_package_imports_neither_numpy_nor_pyarrow():
    code = (
        "import sys, ksmtrace.capture, ksmtrace.plugins.recorder\n"
        "sys.exit(bool({'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _touched(path):
    path.touch()
    return path
