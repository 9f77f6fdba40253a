"""What tracers have in the kernel (BPF programs, links, kprobes), and what it complains of."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

COMPLAINT = re.compile(
    r"\bBUG\b|WARNING|Oops|Call Trace|general protection|corruption|rcu.*(stall|starved)"
    r"|blocked for more than|lockup|hung task|Out of memory",
    re.IGNORECASE,
)


def listed(what: str) -> set[int]:
    """Ids that bpftool lists; it fails when one of them goes while it looks, and is then asked
    again."""
    for _ in range(20):
        ran = subprocess.run(["bpftool", "-j", what, "list"], capture_output=True, check=False)
        if ran.returncode == 0:
            return {one["id"] for one in json.loads(ran.stdout or b"[]")}
        time.sleep(0.5)
    raise AssertionError(ran.stderr.decode())


def programs() -> set[int]:
    """Ids of the BPF programs that are loaded."""
    return listed("prog")


def links() -> set[int]:
    """Ids of the links by which programs are attached, fentry's and fexit's among them."""
    return listed("link")


def kprobes() -> str:
    """Every kprobe that is set, by whichever interface."""
    found = ""
    for path in ("/sys/kernel/debug/kprobes/list", "/sys/kernel/tracing/kprobe_events"):
        if Path(path).exists():
            found += Path(path).read_text()
    return found


def until(what, seconds) -> bool:
    """Looks seldom: to start bpftool takes an emulated processor a second, which the tracer
    lacks."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(3)
    return True


class KernelLog:
    """The lines of the kernel's log from now on."""

    def __init__(self) -> None:
        self._log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._log, 0, os.SEEK_END)

    def complaints(self) -> list[str]:
        """Lines that tell of a fault of the kernel's; read once."""
        found = []
        while True:
            try:
                line = os.read(self._log, 8192).decode(errors="replace")
            except BlockingIOError:
                os.close(self._log)
                return [line for line in found if COMPLAINT.search(line)]
            except BrokenPipeError:  # overwritten before it was read; the next is there
                found.append("WARNING: lines of the log were lost")
                continue
            found.append(line.partition(";")[2].splitlines()[0])
