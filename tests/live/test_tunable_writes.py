"""Writes to KSM's files on a real kernel: each is a record, where it took effect, with its
result."""

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.conformance.comparison import Comparison
from ksmtrace.events import EventBatch, EventKind, Flag
from ksmtrace.events.tunable import tunable_writes
from ksmtrace.kernel.sysfs import ksm_directory, read_tunables
from support.tracing import trace

pytestmark = pytest.mark.guest

KHUGEPAGED = Path("/sys/kernel/mm/transparent_hugepage/khugepaged/pages_to_scan")
REFUSED = (
    ("run", "7", errno.EINVAL),
    ("pages_to_scan", "banana", errno.EINVAL),
    ("max_page_sharing", "1", errno.EINVAL),
    ("max_page_sharing", "99", errno.EBUSY),
    ("merge_across_nodes", "0", errno.EBUSY),
    ("use_zero_pages", "maybe so, or maybe not", errno.EINVAL),
)


def write(log, name, text):
    """Write with one system call, a Python file would try again, and note what it returned."""
    file = os.open(ksm_directory() / name, os.O_WRONLY)
    try:
        os.write(file, text.encode())
        log.append((name, text, 0))
    except OSError as error:
        log.append((name, text, -error.errno))
    finally:
        os.close(file)


def recorded(workload, tmp_path, **live):
    """The document of a traced run, its tunables at first, and all its records."""
    path = str(tmp_path / "writes.ksmtrace")
    document = trace(workload, record=path, **live)
    assert document["events"]["lost"] == 0, document["events"]["lost_by_cause"]
    with open_capture(path) as capture:
        records = np.concatenate([batch.events for batch in capture.batches()])
        return document, capture.session, records


def merged(ksm, processes):
    ksm.start_stepping()
    processes.spawn("p")
    processes.do("p", "map", region="r", pages=50)
    processes.do("p", "fill", region="r", content="twin:3")
    processes.do("p", "mergeable", region="r")
    ksm.scan(3)
    assert ksm.counter("pages_shared") == 1


@pytest.mark.parametrize("probes", ["kprobe", "fentry"])
def test_every_write_is_there_in_order_with_its_result(ksm, processes, tmp_path, probes):
    merged(ksm, processes)
    log, before = [], read_tunables()

    def workload():
        for name, text in before.items():
            if name not in ("run", "advisor_mode"):
                write(log, name, text)
        for name, text, _ in REFUSED:
            write(log, name, text)
        if KHUGEPAGED.exists():  # its function has the name of one of ours
            KHUGEPAGED.write_text(KHUGEPAGED.read_text())
        if "advisor_mode" in before:
            for name, text in (
                ("advisor_mode", "scan-time"), ("pages_to_scan", "7"),
                ("advisor_max_cpu", "18446744073709551615"), ("advisor_max_cpu", "70"),
                ("advisor_mode", "none"),
            ):  # fmt: skip
                write(log, name, text)
        for value in ("5", "6"):
            write(log, "pages_to_scan", value)
        for name, text in (("run", "2"), ("max_page_sharing", "9"), ("run", "0")):
            write(log, name, text)

    document, session, records = recorded(workload, tmp_path, probes=probes)
    found = tunable_writes(records)
    assert [one.name for one in found] == [name for name, _, _ in log]
    assert [one.err for one in found] == [err for _, _, err in log]
    assert [one.text for one in found] == [text[:16].strip() for _, text, _ in log]
    assert [one.complete for one in found] == [len(text) <= 16 for _, text, _ in log]
    refused = {(name, -err) for name, _, err in log if err}
    assert {(name, number) for name, _, number in REFUSED} <= refused
    assert [one.ts for one in found] == sorted(one.ts for one in found)
    assert session.tunables == before
    assert document["probes"]["tunable"]["exactness"] == "exact"
    assert document["events"]["by_kind"]["TUNABLE"] == len(log)


def test_a_write_stands_where_it_took_effect(ksm, processes, tmp_path):
    """After the pass before it and before the pass after it; after what run=2 did inside the
    call."""
    merged(ksm, processes)

    def workload():
        ksm.scan()
        ksm.write("use_zero_pages", 1)
        ksm.scan()
        ksm.write("run", 2)
        ksm.write("max_page_sharing", 9)
        ksm.scan()

    _, _, records = recorded(workload, tmp_path)
    stops = np.flatnonzero(records["kind"] == EventKind.SCAN_STOP)
    starts = np.flatnonzero(records["kind"] == EventKind.SCAN_START)
    freed = (records["kind"] == EventKind.REMOVE_RMAP_ITEM) & (records["flags"] & Flag.FREED != 0)
    places = {
        (one.name, one.text): int(at)
        for at in np.flatnonzero(records["kind"] == EventKind.TUNABLE)
        for one in tunable_writes(records[at : at + 1])
    }
    assert stops[0] < places["use_zero_pages", "1"] < starts[1]
    assert stops[1] < np.flatnonzero(freed)[0]
    assert np.count_nonzero(freed) == 50
    assert np.flatnonzero(freed)[-1] < places["run", "2"] < places["max_page_sharing", "9"]
    assert places["max_page_sharing", "9"] < starts[2]


def test_where_it_cannot_be_probed_what_has_changed_is_read(ksm, processes, tmp_path):
    merged(ksm, processes)

    def workload():
        ksm.write("pages_to_scan", 4321)
        write([], "max_page_sharing", "99")  # refused: nothing changes

    document, _, records = recorded(workload, tmp_path, hidden=frozenset({"sysfs_kf_write"}))
    assert document["probes"]["tunable"]["exactness"] == "sampled"
    found = tunable_writes(records)
    assert [(one.name, one.text, one.err) for one in found] == [("pages_to_scan", "4321", 0)]


def wait_for_passes(ksm, count):
    """Passes and not seconds: of these a fast machine has more than the ring has room for."""
    end = ksm.counter("full_scans") + count
    while ksm.counter("full_scans") < end:
        time.sleep(0.01)


@pytest.mark.slow
def test_writes_while_ksmd_is_at_work_explain_its_decisions(ksm, processes, tmp_path):
    """With a ksmd that never sleeps, each decision is one that the engine takes under the value of
    its moment."""
    ksm.start_stepping(100)
    has_smart_scan = ksm.has("smart_scan")
    processes.spawn("p")
    for region, pages, content in (
        ("empty", 240, "zero"), ("unique", 100, "unique:5"), ("equal", 60, "twin:9"),
    ):  # fmt: skip
        processes.do("p", "map", region=region, pages=pages)
        processes.do("p", "fill", region=region, content=content)
        processes.do("p", "mergeable", region=region)

    def workload():
        ksm.write("sleep_millisecs", 0)
        ksm.write("use_zero_pages", 1)  # before 6.11 a KSM page of zeros, once there, comes first
        ksm.write("run", 1)
        wait_for_passes(ksm, 3)
        for beat in range(6):
            reach = {"region": "empty", "first": beat * 40, "pages": 40}
            processes.do("p", "poke", **reach, offset=0, value=1)
            for turn in range(5):
                ksm.write("use_zero_pages", (beat + turn) % 2)
                if has_smart_scan:
                    ksm.write("smart_scan", turn // 2 % 2)
                # until the page is merged: one that is written to while it is examined explains
                # nothing
                wait_for_passes(ksm, 2)
            processes.do("p", "poke", **reach, offset=0, value=0)
        ksm.write("run", 0)

    _, session, records = recorded(workload, tmp_path, ring_bytes=1 << 27)
    replay = Comparison(session)
    replay.apply(EventBatch(records))
    replay.end()
    found = replay.to_json()
    print({key: found[key] for key in ("variant", "agreed", "parted", "unknown", "by_rule")})
    at = np.flatnonzero(records["kind"] == EventKind.TUNABLE)
    amid = [
        one
        for one in at[1:-1]
        if {int(records["kind"][one - 1]), int(records["kind"][one + 1])}.isdisjoint(
            {EventKind.SCAN_STOP, EventKind.SCAN_START}
        )
    ]
    print("writes amid a batch:", len(amid), "of", len(at))
    print(*found["differences"], sep="\n")
    assert found["differences"] == []
    assert found["by_rule"]["zero_page"]["agreed"] >= 240
    assert len(amid) > 20
