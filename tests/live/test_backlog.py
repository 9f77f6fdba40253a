"""A reader that is stopped or outrun tells what it has not seen, and ends when asked."""

import ctypes
import json
import multiprocessing
import os
import signal
import subprocess
import time

import pytest

from ksmtrace.events import EventKind
from ksmtrace.sources.live.opening import LiveOptions
from ksmtrace.sources.live.source import LiveSource
from support.command import KSMTRACE

PAGES = 4000
STOPPED_SECONDS = 5


def read(probes, ring_bytes, pipe):
    """Trace until SIGTERM; tells when it has begun, and at the end (records taken out of the ring,
    events given as lost, records sent, events that found it full), the last two by the kernel."""
    options = LiveOptions(probes=probes, ring_bytes=ring_bytes, cow=0, give_up=900.0)
    source = LiveSource.open(options)
    signal.signal(signal.SIGTERM, lambda *_: source.stop())
    taken = lost = 0
    drain = source._attachment.drain

    def counted(most):
        nonlocal taken
        drained = drain(most)
        taken += len(drained.events)
        return drained

    source._attachment.drain = counted
    begun = False
    for batch in source.batches():
        lost += batch.lost
        if not begun and len(batch.of(EventKind.SAMPLE)):
            begun = True
            pipe.send("begun")
    producers = source._attachment.program.bpf[b"producers"][ctypes.c_int(0)]
    sent, full = (sum(getattr(one, name) for one in producers) for name in ("sent", "lost"))
    source.close()
    pipe.send((taken, lost, sent, full))


@pytest.mark.live
@pytest.mark.parametrize(
    ("probes", "ring_bytes"),
    [
        ("tracepoint", 8192),
        pytest.param("kprobe", 65536, marks=pytest.mark.guest),
        pytest.param("gather", 65536, marks=pytest.mark.guest),
    ],
)
def test_a_stopped_reader_counts_its_loss(ksm, processes, probes, ring_bytes):
    """SIGSTOP for five seconds, while ksmd goes on: seen and lost are what the kernel counted."""
    ksm.start_stepping()
    for name in ("one", "other"):
        processes.spawn(name)
        processes.do(name, "map", region="r", pages=PAGES)
        processes.do(name, "fill", region="r", content="unique:1")
        processes.do(name, "mergeable", region="r")
    ours, theirs = multiprocessing.Pipe()
    reader = multiprocessing.get_context("fork").Process(
        target=read, args=(probes, ring_bytes, theirs)
    )
    reader.start()
    try:
        assert ours.poll(300)
        assert ours.recv() == "begun"
        os.kill(reader.pid, signal.SIGSTOP)
        began = time.monotonic()
        for beat in range(6):
            for name in ("one", "other"):
                processes.do(name, "poke", region="r", offset=0, value=beat // 2 + 1)
            ksm.scan()
        time.sleep(max(0, began + STOPPED_SECONDS - time.monotonic()))
        os.kill(reader.pid, signal.SIGCONT)
        ksm.scan(2)
        reader.terminate()
        assert ours.poll(300)
        taken, lost, sent, dropped = ours.recv()
    finally:
        reader.kill()
        reader.join()
    print(json.dumps({"taken": taken, "sent": sent, "lost": lost, "full": dropped}))
    assert dropped > 0
    # of what is gathered after a loss, that whose past is lost with it cannot be told
    unexplained = 2 * 2 * PAGES if probes == "gather" else 0
    assert dropped <= lost <= dropped + unexplained
    assert taken == sent > 0


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize(("batch", "ended_by"), [(1000, "duration"), (250_000, "SIGTERM")])
def test_a_ksmd_that_never_sleeps_keeps_nobody_waiting(ksm, processes, ended_by, batch):
    """Under emulation the reader is many times too slow: there is an answer all the same, and what
    it has not read it says."""
    for name, content in (("twins", "twin:1"), ("unique", "unique:1")):
        processes.spawn(name)
        processes.do(name, "map", region="r", pages=PAGES)
        processes.do(name, "fill", region="r", content=content)
        processes.do(name, "mergeable", region="r")
    ksm.write("sleep_millisecs", 0)
    ksm.write("pages_to_scan", batch)
    ksm.write("run", 1)
    command = [KSMTRACE, "live", "--json", "--no-tui", "--interval", "3600", "--probes", "gather"]
    command += ["--duration", "5"] if ended_by == "duration" else []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        try:
            if ended_by == "SIGTERM":
                while "bpf" not in " ".join(links(run.pid)):
                    time.sleep(0.5)
                time.sleep(5)
                run.terminate()
            out, err = run.communicate(timeout=600)
        finally:
            run.kill()
    document = json.loads(out.splitlines()[-1])
    events = document["events"]
    print(batch, ended_by, document["duration_seconds"], events["total"], events["lost"], err)
    assert run.returncode == (0 if ended_by == "duration" else 130), err
    assert events["by_kind"]["CMP_AND_MERGE_PAGE"] > 0
    assert document["self_check"]["at_scan_stop_differing"] == 0
    said = [line for line in err.splitlines() if "not read at the end" in line]
    assert bool(said) == (events["lost"] > 0)
    if said:
        number = int(said[0].removeprefix("ksmtrace: ").split()[0].replace(",", ""))
        assert 0 < number <= events["lost"]


def links(pid):
    """Where the descriptors of a process lead."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            yield os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
