"""Measures `ksmtrace whatif` on ten minutes in eight scenarios. Part of `make bench`.

The capture is the engine's, of the newest kernel, with the kernel's defaults: 30,000 batches of 100
pages, one every 20 ms, over six processes with 30,000 pages, of which 40 % are equal to others, 2 %
empty and 5 % written between two looks; processes come and go.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.engine.variants import NEWEST
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload

KSMTRACE = str(Path(sys.executable).parent / "ksmtrace")
BATCHES = 30_000
SLEEP_NS = 20_000_000
PROCESSES = 6
EQUAL, EMPTY, UNIQUE, VOLATILE = 2000, 100, 2650, 250
BATCHES_A_ROUND = 100
SWEEPS = ("max_page_sharing=16,256", "use_zero_pages=0,1", "smart_scan=0,1")
LIMIT_SECONDS = 600


def started(name: str) -> Iterator[Step]:
    """A process with all its memory."""
    yield Step("spawn", {"process": name})
    for region, pages, content in (
        ("equal", EQUAL, Content("unique", 1)),
        ("empty", EMPTY, Content("zero")),
        ("unique", UNIQUE, Content("unique", 1000 + int(name[1:]))),
        ("volatile", VOLATILE, Content("unique", 2000 + int(name[1:]))),
    ):
        reach = {"process": name, "region": region, "pages": pages}
        yield Step("map", {**reach, "huge": False})
        yield Step("fill", {**reach, "first": 0, "content": content})
        yield Step("mergeable", {**reach, "first": 0})


def steps(batches: int) -> Iterator[Step]:
    """Rounds of batches, with writes in between; now and then a process ends and another begins."""
    alive = [f"p{number}" for number in range(PROCESSES)]
    made = len(alive)
    for name in alive:
        yield from started(name)
    for round_number in range(batches // BATCHES_A_ROUND):
        yield Step("scan", {"batches": BATCHES_A_ROUND})
        for name in alive:
            value = round_number % 251 + 1
            reach = {"process": name, "first": 0, "offset": 8, "value": value}
            yield Step("poke", {**reach, "region": "volatile", "pages": VOLATILE})
        first = round_number * 7 % (EQUAL - 10)
        writer = {"process": alive[round_number % PROCESSES], "region": "equal"}
        yield Step("poke", {**writer, "first": first, "pages": 10, "offset": 0, "value": 9})
        if round_number % 50 == 49:
            yield Step("exit", {"process": alive.pop(0)})
            alive.append(f"p{made}")
            made += 1
            yield from started(alive[-1])


def record(path: Path, batches: int) -> int:
    """Write the capture; returns how many events it holds."""
    workload = Workload("ten minutes", NEWEST, {}, tuple(steps(batches)))
    source = EngineSource(workload, count_comparisons=False)
    events = done = 0
    with CaptureWriter(str(path), source.session) as capture:
        for batch in source.batches():
            records = batch.events.copy()
            records["ts"] += done * SLEEP_NS
            done += 1
            events += len(records)
            capture.write(records)
    return events


def resident(session: int) -> int:
    """Bytes of memory of all processes of a session."""
    pages = 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                pages += int((entry / "statm").read_text().split()[1])
        except OSError:
            continue  # it has just ended
    return pages * os.sysconf("SC_PAGE_SIZE")


def main(batches: int = BATCHES) -> None:
    """Print one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ten-minutes.ksmtrace"
        began = time.perf_counter()
        events = record(path, batches)
        size = path.stat().st_size / 2**20
        recorded = time.perf_counter() - began
        print(f"a capture of {events} events, {size:.0f} MiB, made in {recorded:.0f} s", flush=True)
        command = [KSMTRACE, "whatif", str(path), "--sweep", *SWEEPS]
        began, most = time.perf_counter(), 0
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as run:
            while (ended := os.wait4(run.pid, os.WNOHANG))[0] == 0:
                most = max(most, resident(run.pid))
                time.sleep(0.2)
            run.returncode = os.waitstatus_to_exitcode(ended[1])
        wall = time.perf_counter() - began
        cpu = ended[2].ru_utime + ended[2].ru_stime
    if run.returncode:
        raise SystemExit(f"whatif ended with status {run.returncode}")
    print(
        f"whatif, ten minutes, 8 scenarios: {wall:.0f} s (limit {LIMIT_SECONDS}), "
        f"{cpu:.0f} s of CPU, "
        f"{cpu / wall:.2f} of {len(os.sched_getaffinity(0))} CPUs, "
        f"at most {most / 2**20:.0f} MiB in all"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
