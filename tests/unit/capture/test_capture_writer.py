"""When record batches are written, which files there are, and how writing fails."""

import os
import resource
import signal
import stat
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from ksmtrace import temporary
from ksmtrace.capture.reader import open_capture
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.events import empty_records
from support.streams import session

NOBODY = 65534


class Clock:
    """A clock that stops until it is set."""

    now = 0.0

    def __call__(self):
        return self.now


def numbered(count, first=0):
    """`count` events with `ts` counting up."""
    events = empty_records(count)
    events["ts"] = range(first, first + count)
    return events


def read(path):
    with open_capture(path) as capture:
        return [batch.events["ts"].tolist() for batch in capture.batches()], list(capture.warnings)


def refusal(path, **options):
    """The one line with which a capture at `path` is refused."""
    with pytest.raises(KsmtraceError) as caught:
        CaptureWriter(path, session(), **options)
    line = str(caught.value)
    assert caught.value.status == ExitStatus.BAD_INPUT
    assert line.startswith(str(path))
    assert "\n" not in line
    return line


@contextmanager
def file_size_limit(count):
    """No file of this process can grow beyond `count` bytes: as a full disk would have it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_batch_is_put_out_at_once(tmp_path):
    with CaptureWriter(tmp_path / "a", session(), batch_events=4, clock=Clock()) as writer:
        writer.write(numbered(9))
        assert read(tmp_path / "a")[0] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert read(tmp_path / "a") == ([[0, 1, 2, 3], [4, 5, 6, 7], [8]], [])


def test_a_batch_has_64_ki_events_by_default(tmp_path):
    with CaptureWriter(tmp_path / "a", session(), clock=Clock()) as writer:
        writer.write(numbered(65_535))
        assert read(tmp_path / "a")[0] == []
        writer.write(numbered(1))
        assert [len(batch) for batch in read(tmp_path / "a")[0]] == [65_536]


def test_events_wait_no_longer_than_a_second(tmp_path):
    clock = Clock()
    with CaptureWriter(tmp_path / "a", session(), clock=clock) as writer:
        writer.write(numbered(2))
        clock.now = 0.9
        writer.flush_if_due()
        assert read(tmp_path / "a")[0] == []
        clock.now = 1.0
        writer.flush_if_due()
        assert read(tmp_path / "a")[0] == [[0, 1]]
        clock.now = 1.9
        writer.write(numbered(1, first=2))
        assert read(tmp_path / "a")[0] == [[0, 1]]
        clock.now = 2.0
        writer.write(numbered(1, first=3))
        assert read(tmp_path / "a")[0] == [[0, 1], [2, 3]]


def test_what_the_caller_does_with_its_array_afterwards_does_not_matter(tmp_path):
    events = numbered(3)
    with CaptureWriter(tmp_path / "a", session()) as writer:
        writer.write(events)
        events["ts"] = 99
    assert read(tmp_path / "a")[0] == [[0, 1, 2]]


def test_a_segment_is_followed_by_the_next_when_it_is_full(tmp_path):
    with CaptureWriter(tmp_path / "a", session(), segment_bytes=8_000, batch_events=2) as writer:
        writer.write(numbered(8))
    sizes = [os.path.getsize(tmp_path / name) for name in sorted(os.listdir(tmp_path))]
    assert len(sizes) > 1
    assert all(size <= 8_000 for size in sizes)
    assert read(tmp_path / "a") == ([[0, 1], [2, 3], [4, 5], [6, 7]], [])


def test_files_are_for_their_owner_alone(tmp_path):
    before = os.umask(0)
    try:
        with CaptureWriter(tmp_path / "a", session(), segment_bytes=0, batch_events=1) as writer:
            writer.write(numbered(3))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()} == {0o600}
    assert sorted(os.listdir(tmp_path)) == ["a", "a.0001", "a.0002"]


def test_a_capture_without_an_id_gets_one(tmp_path):
    nameless = replace(session(), capture_id="")
    ids = set()
    for name in ("a", "b"):
        with CaptureWriter(tmp_path / name, nameless) as writer:
            pass
        with open_capture(tmp_path / name) as capture:
            assert capture.session.capture_id == writer.session.capture_id
            ids.add(capture.session.capture_id)
    assert len(ids) == 2
    assert "" not in ids


def test_an_older_capture_is_replaced_with_all_its_segments(tmp_path):
    with CaptureWriter(tmp_path / "a", session(), segment_bytes=0, batch_events=1) as writer:
        writer.write(numbered(4))
    (tmp_path / "a.txt").touch()
    (tmp_path / "b.0001").touch()
    with CaptureWriter(tmp_path / "a", session()) as writer:
        writer.write(numbered(2, first=10))
    assert sorted(os.listdir(tmp_path)) == ["a", "a.txt", "b.0001"]
    assert read(tmp_path / "a") == ([[10, 11]], [])


def test_a_reader_of_the_older_capture_keeps_it(tmp_path):
    with CaptureWriter(tmp_path / "a", session()) as writer:
        writer.write(numbered(4))
    with open_capture(tmp_path / "a") as capture:
        with CaptureWriter(tmp_path / "a", session()) as writer:
            writer.write(numbered(2, first=10))
        assert [batch.events["ts"].tolist() for batch in capture.batches()] == [[0, 1, 2, 3]]


def test_an_empty_file_is_replaced(tmp_path):
    (tmp_path / "a").touch()
    CaptureWriter(tmp_path / "a", session()).close()
    assert read(tmp_path / "a") == ([], [])


@pytest.mark.parametrize("name", ["a", "a.0001"])
def test_a_file_that_is_no_capture_stays(tmp_path, name):
    (tmp_path / name).write_text("precious")
    with pytest.raises(KsmtraceError, match=f"/{name}: exists and is not a ksmtrace capture"):
        CaptureWriter(tmp_path / "a", session())
    assert (tmp_path / name).read_text() == "precious"
    assert os.listdir(tmp_path) == [name]


def test_what_is_no_regular_file_stays(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert "is not a regular file" in refusal(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    assert "is not a regular file" in refusal(tmp_path / "pipe")
    assert "is a directory" in refusal(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_directory_that_is_missing(tmp_path):
    line = refusal(tmp_path / "none" / "a")
    assert "No such file or directory" in line
    assert "create the directory first" in line


def test_a_directory_without_right_to_write(tmp_path):
    tmp_path.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        assert "cannot be written: Permission denied" in refusal(tmp_path / "a")
    finally:
        if root:
            os.seteuid(0)
        tmp_path.chmod(0o755)


def test_a_full_disk_at_the_start_leaves_the_older_capture(tmp_path):
    with CaptureWriter(tmp_path / "a", session()) as writer:
        writer.write(numbered(4))
    with file_size_limit(100):
        assert "cannot be written: File too large" in refusal(tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]
    assert read(tmp_path / "a") == ([[0, 1, 2, 3]], [])


def test_a_full_disk_ends_the_recording_with_what_is_whole(tmp_path):
    writer = CaptureWriter(tmp_path / "a", session(), batch_events=10)
    writer.write(numbered(10))
    with (
        file_size_limit(os.path.getsize(tmp_path / "a") + 100),
        pytest.raises(KsmtraceError) as caught,
    ):
        writer.write(numbered(25, first=10))
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / 'a'}: cannot be written: File too large (10 events")
    assert caught.value.status == ExitStatus.BAD_INPUT
    writer.close()
    batches, warnings = read(tmp_path / "a")
    assert batches == [list(range(10))]
    assert "did not end cleanly" in warnings[0]


def test_a_full_disk_at_a_new_segment_names_it(tmp_path):
    writer = CaptureWriter(tmp_path / "a", session(), segment_bytes=0, batch_events=10)
    writer.write(numbered(10))
    with file_size_limit(100), pytest.raises(KsmtraceError, match=r"/a\.0001: cannot be written"):
        writer.write(numbered(10, first=10))
    writer.close()
    assert os.listdir(tmp_path) == ["a"]
    assert read(tmp_path / "a")[0] == [list(range(10))]


def test_a_full_disk_at_the_end_is_an_error_too(tmp_path):
    writer = CaptureWriter(tmp_path / "a", session(), batch_events=10)
    writer.write(numbered(15))
    with file_size_limit(os.path.getsize(tmp_path / "a")), pytest.raises(KsmtraceError):
        writer.close()
    writer.close()
    assert read(tmp_path / "a")[0] == [list(range(10))]


def test_nothing_is_written_to_a_closed_capture(tmp_path):
    writer = CaptureWriter(tmp_path / "a", session(), batch_events=1)
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write(numbered(1))


def truncated(path):
    os.truncate(path, 10)


def emptied(path):
    path.write_bytes(b"")


def deleted(path):
    path.unlink()


def replaced(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def moved(path):
    path.rename(path.with_name("elsewhere"))


def appended(path):
    with path.open("ab") as file:
        file.write(b"x")


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (truncated, "truncated"), (emptied, "truncated"), (deleted, "deleted"),
        (replaced, "replaced"), (moved, "deleted"), (appended, "written to by others"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("events", [0, 3])
def test_a_file_that_vanishes_is_noticed_within_a_flush(tmp_path, harm, word, events):
    """Also where nothing is to be written; recording goes on beside it."""
    clock = Clock()
    path = tmp_path / "a"
    writer = CaptureWriter(path, session(), clock=clock)
    writer.write(numbered(5))
    clock.now += 1.0
    writer.flush_if_due()
    harm(path)
    left = path.read_bytes() if path.exists() else None
    clock.now += 1.0
    writer.write(numbered(events, first=5))
    writer.flush_if_due()
    (line,) = writer.moved
    assert word in line
    assert f"{path} " in line
    assert f"{path}.after1" in line
    writer.write(numbered(2, first=8))
    writer.close()
    found, warnings = read(tmp_path / "a.after1")
    assert [ts for some in found for ts in some] == [*range(5, 5 + events), 8, 9]
    assert warnings == []
    assert (path.read_bytes() if path.exists() else None) == left


def test_a_file_that_vanishes_again_and_again(tmp_path):
    path = tmp_path / "a"
    with CaptureWriter(path, session()) as writer:
        for number in range(3):
            (path if not number else tmp_path / f"a.after{number}").unlink()
            writer.write(numbered(1, first=number))
            writer.flush()
    assert len(writer.moved) == 3
    assert read(tmp_path / "a.after3")[0] == [[2]]


def test_a_directory_that_vanishes_ends_the_recording(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    writer = CaptureWriter(folder / "a", session())
    (folder / "a").unlink()
    folder.rmdir()
    writer.write(numbered(1))
    with pytest.raises(KsmtraceError, match="cannot be written"):
        writer.flush()


def test_a_later_segment_that_vanishes(tmp_path):
    writer = CaptureWriter(tmp_path / "a", session(), segment_bytes=1, batch_events=1)
    writer.write(numbered(3))
    (tmp_path / "a.0002").unlink()
    writer.write(numbered(1, first=3))
    writer.close()
    assert "a.0002" in writer.moved[0]
    assert read(tmp_path / "a.after1")[0] == [[3]]


def test_what_a_killed_ksmtrace_left_is_removed(tmp_path):
    script = (
        "import os, signal, sys\n"
        "from ksmtrace import temporary\n"
        "temporary.make_temporary(sys.argv[1])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ran.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    (tmp_path / ".ksmtrace-notours.txt").write_text("x")
    (tmp_path / ".ksmtrace-abcdefgh").symlink_to(tmp_path / ".ksmtrace-notours.txt")
    (tmp_path / ".ksmtrace-direct00").mkdir()
    descriptor, living = temporary.make_temporary(str(tmp_path))
    CaptureWriter(tmp_path / "a", session()).close()
    assert not left.exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(
        [".ksmtrace-notours.txt", ".ksmtrace-abcdefgh", ".ksmtrace-direct00", "a",
         os.path.basename(living)]
    )  # fmt: skip
    os.close(descriptor)
    CaptureWriter(tmp_path / "b", session()).close()
    assert not os.path.exists(living)
