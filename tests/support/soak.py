"""Traces for long while processes come and go, and watches what the tracer takes."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ksmtrace.workload.guard import KsmGuard
from support.churn import LONGEST_SECONDS
from support.command import KSMTRACE

TESTS = Path(__file__).parent.parent
ALIVE = 40
LOOK_SECONDS = 2.0


@dataclass
class Soak:
    """What a soak came to.

    Attributes:
        seconds: since the tracer was started, of each look.
        resident_bytes: of the tracer alone; `serving_bytes` of the process that serves.
        descriptors, threads: of the tracer.
        pages_sharing: as the kernel counts them: the load.
        scrapes: that were answered.
        born: processes.
        document: the tracer's last answer.
        errors: what it said on stderr.
    """

    seconds: list[float] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)
    serving_bytes: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    pages_sharing: list[int] = field(default_factory=list)
    scrapes: int = 0
    born: int = 0
    document: dict = field(default_factory=dict)
    errors: str = ""

    def look(self, seconds: float, pid: int, pages_sharing: int) -> None:
        """Note how the tracer is."""
        status = _status(pid)
        self.seconds.append(round(seconds, 1))
        self.resident_bytes.append(status["VmRSS"] << 10)
        self.threads.append(status["Threads"])
        self.descriptors.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
        self.serving_bytes.append(sum(_status(child)["VmRSS"] << 10 for child in _children(pid)))
        self.pages_sharing.append(pages_sharing)

    def part(self, values: list[int], begin: float, end: float) -> list[int]:
        """Those of `values` that were seen in a share of the time, 0 to 1."""
        count = len(values)
        return values[int(begin * count) : max(int(end * count), int(begin * count) + 1)]


def soak(
    ksm: KsmGuard,
    seconds: float,
    probes: str = "auto",
    longest: float = LONGEST_SECONDS,
    more: Sequence[str] = (),
) -> Soak:
    """Trace for so long, with 20 ms between batches of 1,000 pages; scraped at each look.

    Processes live for `longest` seconds at most; `more` are options of live. The births end before
    the trace does, so that its last reading is of a KSM at rest.
    """
    found = Soak()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [KSMTRACE, "live", "--once", "--json", "--probes", probes, "--interval", "2"]
    command += ["--listen", str(port), "--duration", str(seconds + 3600), *more]
    ksm.write("pages_to_scan", 1000)
    ksm.write("sleep_millisecs", 20)
    ksm.write("run", 1)
    churn = subprocess.Popen(
        [sys.executable, "-m", "support.churn", str(ALIVE), "0", str(longest)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip
    answer: list[tuple[str, str]] = []
    started = time.monotonic()
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    reader = threading.Thread(target=lambda: answer.append(run.communicate()))
    try:
        reader.start()
        while (passed := time.monotonic() - started) < seconds and run.poll() is None:
            time.sleep(LOOK_SECONDS)
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
                found.scrapes += 1
            with suppress(OSError, KeyError):
                found.look(passed, run.pid, ksm.counter("pages_sharing"))
        churn.send_signal(signal.SIGTERM)
        found.born = int(churn.communicate()[0])
        time.sleep(5 * LOOK_SECONDS)
    finally:
        churn.kill()
        churn.wait()
        run.send_signal(signal.SIGTERM)
        reader.join(120)
        run.kill()
    output, found.errors = answer[0]
    found.document = json.loads(output) if output else {}
    return found


def _status(pid: int) -> dict[str, int]:
    """Numbers of /proc/PID/status by name."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    words = [line.split() for line in lines]
    return {word[0][:-1]: int(word[1]) for word in words if len(word) > 1 and word[1].isdigit()}


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
