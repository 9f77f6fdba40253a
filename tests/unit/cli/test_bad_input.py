"""Bad input: one clear line, the documented exit status, no traceback, nothing half-written."""

import json
import subprocess

import pyarrow as pa
import pytest

from ksmtrace.cli import VERBS
from support.command import KSMTRACE, assert_one_line, ksmtrace


def test_help_of_every_verb():
    for verb in VERBS:
        ran = ksmtrace(verb, "--help", env={"COLUMNS": "80", "PATH": "/usr/bin:/bin"})
        assert ran.returncode == 0
        assert max(map(len, ran.stdout.splitlines())) <= 80


def test_no_verb_prints_the_help():
    ran = ksmtrace()
    assert ran.returncode == 2
    assert "exit status" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("live", "--duration", "-1"),
        ("live", "--duration", "nan"),
        ("live", "--interval", "0"),
        ("replay", "x", "--speed", "-2"),
        ("replay", "x", "--speed", "fast"),
        ("record",),
        ("live", "--pid", "x"),
        ("live", "--budget", "0%"),
        ("live", "--budget", "101%"),
        ("live", "--budget", "-3"),
        ("live", "--budget", "nan"),
        ("live", "--budget", "much"),
    ],
)
def test_usage(arguments):
    ran = ksmtrace(*arguments)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--probes", "sysfs"), ("--totals counts by probes", "choose one")),
        (("--pid", "1"), ("all processes", "leave out --pid")),
        (("--probe-map", __file__), ("--probe-map",)),
    ],
)
def test_what_totals_cannot_go_with(arguments, words):
    assert_one_line(ksmtrace("live", "--totals", *arguments), 2, *words)


def test_unknown_plugin(bundled_capture):
    ran = ksmtrace("replay", bundled_capture, "-p", "no:nonsense")
    assert_one_line(ran, 2, "nonsense", "stable_tree")


def test_capture_is_missing(tmp_path):
    assert_one_line(ksmtrace("replay", tmp_path / "none"), 2, str(tmp_path / "none"))


def test_capture_is_empty(tmp_path):
    (tmp_path / "c").touch()
    assert_one_line(ksmtrace("replay", tmp_path / "c"), 2, "empty")


def test_capture_is_a_directory(tmp_path):
    assert_one_line(ksmtrace("replay", tmp_path), 2, "directory")


def test_capture_is_of_another_format(tmp_path):
    (tmp_path / "text").write_text("no capture\n" * 100)
    assert_one_line(ksmtrace("replay", tmp_path / "text"), 2, "text")
    table = pa.table({"a": [1, 2]})
    with pa.ipc.new_stream(str(tmp_path / "arrow"), table.schema) as writer:
        writer.write_table(table)
    assert_one_line(ksmtrace("replay", tmp_path / "arrow"), 2, "arrow")


def test_capture_of_a_newer_version(tmp_path, bundled_capture):
    with pa.OSFile(str(bundled_capture)) as file, pa.ipc.open_stream(file) as stream:
        metadata = dict(stream.schema.metadata)
        key = next(k for k in metadata if b"version" in k and metadata[k] == b"1")
        newer = stream.schema.with_metadata(metadata | {key: b"99"})
    with pa.ipc.new_stream(str(tmp_path / "newer"), newer):
        pass
    assert_one_line(ksmtrace("replay", tmp_path / "newer"), 2, "99", "upgrade")


def test_port_is_taken(bundled_capture):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_line(
            ksmtrace("replay", bundled_capture, "--listen", f"127.0.0.1:{port}"), 2, str(port)
        )


@pytest.mark.parametrize(
    "address", ["nonsense", "127.0.0.1:99999", "127.0.0.1:x", "no.such.host.invalid:80"]
)
def test_bad_address(bundled_capture, address):
    assert_one_line(ksmtrace("replay", bundled_capture, "--listen", address), 2)


def test_textfile_directory_is_missing(bundled_capture, tmp_path):
    assert_one_line(ksmtrace("replay", bundled_capture, "--textfile", tmp_path / "none"), 2, "none")


def test_a_closed_pipe_is_no_error(bundled_capture):
    ran = subprocess.run(
        f"{KSMTRACE} replay {bundled_capture} --json | head -c 10",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    assert ran.stdout.startswith("{")


@pytest.mark.parametrize("verb", [("replay",), ("replay", "--events"), ("report",), ("--help",)])
def test_a_full_disk_is_said(bundled_capture, verb):
    files = () if verb == ("--help",) else (bundled_capture,)
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [KSMTRACE, *verb, *files], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ran.returncode == 3
    assert ran.stderr.startswith("ksmtrace: standard output: No space left on device: ")
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("verb", ["replay", "replay --events"])
def test_closed_streams_lead_nowhere(bundled_capture, verb, closed):
    ran = subprocess.run(
        f"{KSMTRACE} {verb} {bundled_capture} {closed}",
        shell=True,
        capture_output=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_not_root(tmp_path, repository):
    import os

    if os.geteuid() == 0:
        ran = ksmtrace("live", "--once", user=65534, group=65534, extra_groups=[])
    else:
        ran = ksmtrace("live", "--once")
    assert_one_line(ran, 3, "root", "sudo")


def test_plugins_verb():
    ran = ksmtrace("plugins", "--json")
    listed = {plugin["name"]: plugin for plugin in json.loads(ran.stdout)["plugins"]}
    assert listed["volatile"]["role"] == "analyzer"
    assert listed["recorder"]["origin"] == "built-in"
