"""Traces a ksmd that never sleeps, and watches what is lost and whether memory grows.

.venv/bin/python tests/vm/guest.py 6.1 -- .venv/bin/python tests/bench/busy.py 300
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes

KSMTRACE = str(Path(sys.executable).parent / "ksmtrace")


def resident_mib(pid: int) -> float:
    """Resident memory of a process, now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main(seconds: float, probes: str) -> None:
    """Print events, losses, differences and memory over time."""
    with KsmGuard(clean=True) as ksm, Processes() as processes:
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
        command = [KSMTRACE, "live", "--once", "--json", "--duration", str(seconds)]
        command += ["--probes", probes]
        started = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            time.sleep(40)  # bcc compiles slowly under emulation
            ksm.write("run", 1)
            sizes = []
            answer: list[str] = []
            reader = threading.Thread(target=lambda: answer.append(run.stdout.read()))
            reader.start()
            beat = 0
            while reader.is_alive():
                beat += 1
                processes.do("volatile", "poke", region="r", offset=0, value=beat % 251)
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
    print(f"from start to end {ended:.0f} s")
    print("resident MiB every 10 s:", sizes)


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:3] or ["auto"])
