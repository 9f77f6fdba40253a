"""`ksmtrace dashboards -o DIR` writes all files or none, and replaces nothing of others."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.dashboards import write
from ksmtrace.dashboards.write import shipped, write_dashboards
from ksmtrace.errors import KsmtraceError
from support.command import assert_one_line, ksmtrace
from support.dashboards import ROOT

FILES = {
    *(f"ksmtrace-{name}.json" for name in ("overview", "groups", "volatile", "cow", "health")),
    "rules/ksmtrace.rules.yaml",
}


def tree(directory):
    """Every file below a directory: path to content."""
    found = (path for path in directory.rglob("*") if not path.is_dir())
    return {str(path.relative_to(directory)): path.read_bytes() for path in found}


def test_it_writes_what_is_checked_in_and_says_so(tmp_path):
    ran = ksmtrace("dashboards", "-o", tmp_path / "not" / "yet")
    assert (ran.returncode, ran.stderr) == (0, "")
    written = tree(tmp_path / "not/yet")
    assert set(written) == FILES
    assert written == {name: (ROOT / name).read_bytes() for name in FILES}
    assert sorted(ran.stdout.splitlines()) == sorted(str(tmp_path / "not/yet" / f) for f in FILES)


def test_grafana_may_read_them(tmp_path):
    before = os.umask(0o022)
    try:
        paths = write_dashboards(str(tmp_path))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o644}


def test_older_ones_are_replaced_and_others_stay(tmp_path):
    write_dashboards(str(tmp_path))
    (tmp_path / "ksmtrace-cow.json").write_text('{"uid": "ksmtrace-cow", "title": "older"}')
    (tmp_path / "rules/ksmtrace.rules.yaml").write_text("# Rules of ksmtrace, older\n")
    (tmp_path / "other.json").write_text("of somebody else")
    write_dashboards(str(tmp_path))
    written = tree(tmp_path)
    assert written.pop("other.json") == b"of somebody else"
    assert written == {name: text.encode() for name, text in shipped().items()}


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("kind", ["text", "other uid", "list", "directory", "link", "dangling"])
def test_what_is_not_ours_is_left_alone(tmp_path, name, kind):
    target = tmp_path / "out" / name
    target.parent.mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    if kind == "directory":
        target.mkdir()
    elif kind in ("link", "dangling"):
        target.symlink_to(elsewhere)
        if kind == "link":
            elsewhere.write_text(shipped()[name])
    else:
        text = {"text": "mine", "other uid": '{"uid": "mine"}', "list": "[1]"}[kind]
        target.write_text(text)
    before = tree(tmp_path / "out") if kind != "dangling" else None
    ran = ksmtrace("dashboards", "-o", tmp_path / "out")
    assert_one_line(ran, 2, str(target), "-o")
    assert before is None or tree(tmp_path / "out") == before
    assert not elsewhere.exists() or elsewhere.read_text() == shipped()[name]


@given(content=st.binary(min_size=1, max_size=200), name=st.sampled_from(sorted(FILES)))
def test_no_content_of_others_is_lost(tmp_path_factory, content, name):
    directory = tmp_path_factory.mktemp("out")
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_bytes(content)
    with pytest.raises(KsmtraceError):
        write_dashboards(str(directory))
    assert tree(directory) == {name: content}


def test_an_empty_file_is_nobodys_loss(tmp_path):
    (tmp_path / "ksmtrace-cow.json").touch()
    assert len(write_dashboards(str(tmp_path))) == len(FILES)


@pytest.mark.parametrize("directory", ["file", "file/below", "/proc/no", "/dev/null"])
def test_a_directory_that_cannot_be(tmp_path, directory):
    (tmp_path / "file").write_text("mine")
    assert_one_line(ksmtrace("dashboards", "-o", tmp_path / directory), 2, directory, "-o")
    assert (tmp_path / "file").read_text() == "mine"


def test_an_empty_name_is_no_directory(tmp_path):
    assert_one_line(ksmtrace("dashboards", "-o", "", cwd=tmp_path), 2, "-o")
    assert tree(tmp_path) == {}


def test_without_a_directory_it_is_bad_usage():
    assert ksmtrace("dashboards").returncode == 2


@pytest.mark.parametrize("after", range(6))
def test_a_disk_that_fills_up_changes_nothing(tmp_path, monkeypatch, after):
    (tmp_path / "ksmtrace-cow.json").write_text('{"uid": "ksmtrace-cow"}')
    before, calls, real = tree(tmp_path), [], write._write

    def full(path, text):
        calls.append(path)
        real(path, text[:10] if len(calls) > after else text)
        if len(calls) > after:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_write", full)
    with pytest.raises(KsmtraceError, match="No space left on device"):
        write_dashboards(str(tmp_path))
    assert tree(tmp_path) == before


def test_a_reader_meanwhile_finds_whole_files_only(tmp_path, monkeypatch):
    write_dashboards(str(tmp_path))
    seen, real = [], os.replace

    def replace(source, target):
        real(source, target)
        seen.append({n: c for n, c in tree(tmp_path).items() if not n.startswith(".ksmtrace-")})

    monkeypatch.setattr(os, "replace", replace)
    write_dashboards(str(tmp_path))
    assert seen == [{name: text.encode() for name, text in shipped().items()}] * len(FILES)
