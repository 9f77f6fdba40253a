"""Measures what the documents claim, as medians over whole processes. `make bench`; needs root and
KSM.

Absolute times vary with the machine; they stand beside the limit that the project set itself.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes

KSMTRACE = str(Path(sys.executable).parent / "ksmtrace")
RUNS = 5


def help_seconds() -> float:
    """Wall time of `ksmtrace --help`."""
    started = time.perf_counter()
    subprocess.run([KSMTRACE, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def first_event_seconds() -> float:
    """From the start of the process, bcc's compilation included, to the first event of ksmd."""
    command = [KSMTRACE, "live", "--json", "--interval", "0.05", "--duration", "10"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            kinds = json.loads(line)["events"]["by_kind"]
            if sum(kinds.values()) > kinds["SAMPLE"]:
                seconds = time.perf_counter() - started
                run.terminate()
                run.stdout.read()
                return seconds
    raise SystemExit("no event came: is KSM scanning?")


def live_peak_mib() -> float:
    """Peak resident memory of `ksmtrace live` with a recording and metrics, in MiB."""
    command = [
        *(KSMTRACE, "live", "--once", "--json", "--duration", "6"),
        *("--record", "/dev/shm/bench.ksmtrace"),
        "--listen", "0",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
        _, _, usage = os.wait4(run.pid, 0)
        run.returncode = 0
    Path("/dev/shm/bench.ksmtrace").unlink()
    return usage.ru_maxrss / 1024


def main() -> None:
    """Print one line per figure."""
    rows = [("ksmtrace --help", "s", 0.150, [help_seconds() for _ in range(RUNS)])]
    with KsmGuard(clean=True) as ksm, Processes() as processes:
        processes.spawn("bench")
        processes.do("bench", "map", region="r", pages=20_000)
        processes.do("bench", "fill", region="r", pages=10_000, content="unique:1")
        processes.do("bench", "fill", region="r", first=10_000, content="twin:1")
        processes.do("bench", "mergeable", region="r")
        ksm.write("pages_to_scan", 1000)
        ksm.write("run", 1)
        rows.append(
            ("live, start to first event", "s", 3.0, [first_event_seconds() for _ in range(RUNS)])
        )
        rows.append(("live, peak memory", "MiB", 250.0, [live_peak_mib() for _ in range(RUNS)]))
    for name, unit, limit, values in rows:
        print(
            f"{name:28} median {statistics.median(values):8.3f} {unit:4}"
            f" (min {min(values):.3f}, max {max(values):.3f}, {len(values)} runs; limit {limit})"
        )


if __name__ == "__main__":
    main()
