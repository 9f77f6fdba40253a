"""Traces a ksmd that never sleeps, and watches what is lost and whether memory grows.

.venv/bin/python tests/vm/guest.py --cpus 1 6.1 -- .venv/bin/python tests/bench/busy.py 300

With one processor the guest's own scheduler shares it out: to ksmd with its nice value of 5, to
ksmtrace with that of the systemd unit, -5. Of two processors each gets half of the one thread that
emulates them, which no host does.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes

TEXTFILE = "ksmtrace.prom"
KSMTRACE = str(Path(sys.executable).parent / "ksmtrace")


def resident_mib(pid: int) -> float:
    """Resident memory of a process, now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(seconds: float, probes: str) -> None:
    """Print events, losses, differences and memory over time."""
    with (
        KsmGuard(clean=True) as ksm,
        Processes() as processes,
        tempfile.TemporaryDirectory() as scratch,
    ):
        for name, content in (
            ("twins", "twin:1"),
            ("unique", "unique:1"),
            ("volatile", "unique:2"),
        ):
            processes.spawn(name)
            processes.do(name, "map", region="r", pages=4000)
            processes.do(name, "fill", region="r", content=content)
            processes.do(name, "mergeable", region="r")
        ksm.write("sleep_millisecs", 0)
        ksm.write("pages_to_scan", 1000)
        command = [
            "nice",
            "-n",
            "-5",
            KSMTRACE,
            "live",
            "--once",
            "--json",
            "--duration",
            str(seconds),
        ]
        command += ["--probes", probes, "--textfile", scratch]
        started = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            while not (Path(scratch) / TEXTFILE).exists():  # written once the probes are attached
                time.sleep(0.5)
            attached = time.monotonic() - started
            ksm.write("run", 1)
            sizes = []
            answer: list[str] = []
            reader = threading.Thread(target=lambda: answer.append(run.stdout.read()))
            reader.start()
            beat = 0
            while reader.is_alive():
                beat += 1
                processes.do("volatile", "poke", region="r", offset=0, value=beat % 251)
                # Merged pages are written to and made equal again: copies and merges, as long as it
                # lasts.
                first = 100 * (beat % 40)
                processes.do("twins", "poke", region="r", first=first, pages=100, value=1, offset=0)
                processes.do("twins", "fill", region="r", first=first, pages=100, content="twin:1")
                if beat % 20 == 0:
                    sizes.append(round(resident_mib(run.pid), 1))
                time.sleep(0.5)
            reader.join()
        ended = time.monotonic() - started
    document = json.loads(answer[0])
    for key in (
        "events",
        "passes",
        "duration_seconds",
        "self_check",
        "reconciliation",
        "reconstruction",
    ):
        print(key, json.dumps(document[key]))
    print(f"attached after {attached:.0f} s, from start to end {ended:.0f} s")
    print("resident MiB every 10 s:", sizes)


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:3] or ["auto"])
