"""Merged processes that are odd: names that are no text, address spaces without pages."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ksmtrace.kernel import anonymous, pagemap
from ksmtrace.kernel.pagemap import KsmPageReader
from support.command import ksmtrace

PAGES = 50
TIB = 1 << 40


@pytest.fixture
def odd(ksm):
    """Starts a process with something odd; ends them all at the end."""
    running = []

    def start(*oddity):
        script = Path(__file__).parent.parent / "support/odd_merger.py"
        one = subprocess.Popen(
            [sys.executable, str(script), str(PAGES), *map(str, oddity)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        running.append(one)
        assert one.stdout.readline() == b"ready\n"
        return one.pid

    yield start
    for one in running:
        one.communicate()


def snapshot(reader):
    pages = list(reader.pieces())
    return {
        int(pid): sum(int((piece.pid == pid).sum()) for piece in pages)
        for pid in {pid for piece in pages for pid in piece.pid.tolist()}
    }


@pytest.mark.live
@pytest.mark.parametrize("probes", ["sysfs", "auto"])
def test_names_that_are_no_text_end_no_run(ksm, odd, tmp_path, probes):
    ksm.start_stepping()
    path = bytes(tmp_path) + b"/odd-\xff\x80\n7f00-7f01 rw-p 0 0:0 0"
    pids = [odd("file", path.hex()), odd("name", b"\xfe) S 2 (\x1b[31m".hex()), odd()]
    ksm.scan(4)
    ran = ksmtrace("live", "--once", "--json", "--duration", 1, "--probes", probes)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr
    document = json.loads(ran.stdout)
    assert document["events"]["by_kind"]["SNAPSHOT"] >= PAGES * len(pids)
    assert document["counters_unread"] == {}
    assert "\x1b" not in ran.stdout


@pytest.mark.live
@pytest.mark.parametrize("scans", [True, False])
@pytest.mark.parametrize("kind", ["reserve", "touched"])
def test_what_is_read_is_bounded_by_what_is_present(ksm, odd, monkeypatch, scans, kind):
    """32 TiB reserved, with PAGEMAP_SCAN and as before 6.7."""
    if not scans:
        monkeypatch.setattr(anonymous, "_PAGEMAP_SCAN", 0xDEAD)
    size = 32 * TIB if scans or kind == "reserve" else TIB // 4
    ksm.start_stepping()
    pids = [odd(kind, size), odd()]
    ksm.scan(4)
    reader = KsmPageReader()
    found = snapshot(reader)
    assert {pid: found[pid] for pid in pids} == dict.fromkeys(pids, PAGES)
    assert reader.left_out == []
    looked_at = pagemap.MOST_PAGES - reader._left
    resident = sum(
        int(line.split()[1]) // 4
        for pid in pids
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("RssAnon:")
    )
    if scans or kind == "reserve":
        # entries between pages that are near to each other are read too
        assert looked_at < 512 * resident


@pytest.mark.live
def test_what_is_not_read_is_said(ksm, odd, monkeypatch):
    monkeypatch.setattr(anonymous, "_PAGEMAP_SCAN", 0xDEAD)
    ksm.start_stepping()
    wide, other = odd("touched", TIB), odd()
    ksm.scan(4)
    reader = KsmPageReader(most_pages=1 << 21)
    found = snapshot(reader)
    assert wide in reader.left_out
    assert found.get(other, 0) + found.get(wide, 0) <= 2 * PAGES
