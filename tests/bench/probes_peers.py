"""Other tracers at work on ksmd, as a user would have them: one event for each page examined."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

TRACEFS = Path("/sys/kernel/tracing")
KPROBES = Path("/sys/kernel/debug/kprobes/list")
OUTPUT = "/dev/shm/peer"
A_PAGE = "ksm_next_page_pmd_entry"
A_REMOVAL = "remove_rmap_item_from_tree"
_LOOKS = 30_000
"""At whether a peer has begun. Its seconds say nothing: while a processor that counts instructions
waits for the host, its time runs."""


class Peer:
    """Another tracer, recording."""

    def __init__(self, *command, ready):
        if shutil.which(command[0]) is None:
            raise FileNotFoundError(f"{command[0]} is not installed")
        self._said = Path("/dev/shm/said").open("w+b")  # noqa: SIM115 - closed with the peer
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._said, stderr=subprocess.STDOUT
        )
        for _ in range(_LOOKS):
            if ready(self):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.1)
        self._process.kill()
        raise RuntimeError(f"{command[0]} does not begin: {self.said()[-500:]}")

    def said(self):
        return os.pread(self._said.fileno(), 1 << 20, 0).decode(errors="replace")

    def take(self):
        return 0

    def lost(self):
        return 0

    def close(self):
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        self._said.close()


def bpftrace():
    program = f'kprobe:{A_PAGE} {{ printf("%llx %llx\\n", arg1, nsecs); }}'
    if not KPROBES.exists():
        subprocess.run(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"], check=True)
    return Peer(
        *("bpftrace", "-o", OUTPUT, "-e", program), ready=lambda _: A_PAGE in KPROBES.read_text()
    )


def trace_cmd():
    return Peer(
        *("trace-cmd", "record", "-o", OUTPUT, "-p", "function", "-l", A_PAGE, "-l", A_REMOVAL),
        ready=lambda _: (
            (TRACEFS / "current_tracer").read_text() == "function\n"
            and (TRACEFS / "tracing_on").read_text() == "1\n"
        ),
    )


def perf():
    (TRACEFS / "kprobe_events").write_text(f"p:ksmtrace_bench/page {A_PAGE} address=%si\n")
    for name in ("control", "ack"):
        Path(f"/dev/shm/{name}").unlink(missing_ok=True)
        os.mkfifo(f"/dev/shm/{name}")
    control = os.open("/dev/shm/control", os.O_RDWR)
    ack = os.open("/dev/shm/ack", os.O_RDWR | os.O_NONBLOCK)
    os.write(control, b"enable\n")

    def enabled(_):
        try:
            return b"ack" in os.read(ack, 100)
        except BlockingIOError:
            return False

    return Peer(
        *("perf", "record", "-o", OUTPUT, "-e", "ksmtrace_bench:page", "-a", "-D", "-1"),
        *("--synth=no", "--no-bpf-event", "--no-buildid", "--no-buildid-cache"),
        *("--control", "fifo:/dev/shm/control,/dev/shm/ack"),
        ready=enabled,
    )


PEERS = {
    "bpftrace printf of one": bpftrace,
    "trace-cmd record of two": trace_cmd,
    "perf record of one": perf,
}
