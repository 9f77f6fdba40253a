"""Writing a report: in one step, and over nothing except a report."""

import os

import pytest

from ksmtrace.errors import KsmtraceError
from ksmtrace.report.write import MARK, check_target, write_report

OLD, NEW = f"<!DOCTYPE html>\n{MARK} old", f"<!DOCTYPE html>\n{MARK} new"


def write(path, text=NEW):
    write_report(check_target(str(path)), text)


def test_a_new_file_is_readable_by_its_owner_alone(tmp_path):
    write(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == NEW
    assert (tmp_path / "r.html").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "r.html"]


@pytest.mark.parametrize("before", [OLD, ""])
def test_a_report_and_an_empty_file_are_written_over(tmp_path, before):
    (tmp_path / "r.html").write_text(before)
    write(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == NEW


@pytest.mark.parametrize("content", ["root:x:0:0", "<!DOCTYPE html><p>other", "x" * 600 + MARK])
def test_anything_else_is_left_alone(tmp_path, content):
    path = tmp_path / "r.html"
    path.write_text(content)
    with pytest.raises(KsmtraceError, match="is no report of ksmtrace: remove it or"):
        write(path)
    assert path.read_text() == content


def test_directories_and_devices_are_left_alone(tmp_path):
    for path, why in ((tmp_path, "is a directory"), ("/dev/null", "is no report")):
        with pytest.raises(KsmtraceError, match=why):
            write(path)


def test_a_directory_that_is_missing_is_named(tmp_path):
    with pytest.raises(KsmtraceError, match=r"no directory .*create it first"):
        write(tmp_path / "none" / "r.html")


def test_a_link_stays_and_its_target_is_written(tmp_path):
    (tmp_path / "real.html").write_text(OLD)
    (tmp_path / "link.html").symlink_to("real.html")
    write(tmp_path / "link.html")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").read_text() == NEW


def test_when_writing_fails_what_was_there_is_there(tmp_path, monkeypatch):
    (tmp_path / "r.html").write_text(OLD)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KsmtraceError, match=r"cannot write .*No space left"):
        write(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == OLD
    assert list(tmp_path.iterdir()) == [tmp_path / "r.html"]
