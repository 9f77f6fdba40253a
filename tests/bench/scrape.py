"""Measures what scraping costs a live run over 1,000 processes. Part of `make bench`.

The processes are real, and forked from one; ksmd never rests long, and pages that it has merged are
written to all the time.
"""

import http.client
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes

KSMTRACE = str(Path(sys.executable).parent / "ksmtrace")
PROCESSES = 1000
PAGES = 16
SCRAPES = 100
EVERY_SECONDS = 0.2
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def scrape(port: int) -> tuple[float, str]:
    """Seconds that one scrape takes, connection included, and what it says."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return time.perf_counter() - started, text


def value(text: str, name: str) -> float:
    """A series without labels."""
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def start(processes: Processes) -> None:
    """`PROCESSES` with pages that are equal from process to process, and as many that are not."""
    processes.spawn("p0")
    for number in range(PROCESSES):
        name = f"p{number}"
        if number:
            processes.do("p0", "fork", child=name)
        for region, content in (("twins", "twin:1"), ("own", f"unique:{number + 2}")):
            region = f"{region}{number}"
            processes.do(name, "map", region=region, pages=PAGES)
            processes.do(name, "fill", region=region, content=content)
            processes.do(name, "mergeable", region=region)


def write(processes: Processes, until: threading.Event) -> None:
    """Write to merged pages, and make them equal again."""
    beat = 0
    while not until.is_set():
        beat += 1
        number = 1 + beat % (PROCESSES - 1)
        how = {"region": f"twins{number}"}
        processes.do(f"p{number}", "poke", **how, value=1 + beat % 250, offset=0)
        processes.do(f"p{number}", "fill", **how, content="twin:1")
        time.sleep(0.01)


def main() -> None:
    """Print one line per figure."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port = _free_port()
    command = [KSMTRACE, "live", "--once", "--json", "--listen", str(port), "--duration", "600"]
    with KsmGuard(clean=True) as ksm, Processes() as processes:
        start(processes)
        ksm.write("sleep_millisecs", 20)
        ksm.write("pages_to_scan", 1000)
        done = threading.Event()
        writer = threading.Thread(target=write, args=(processes, done))
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            try:
                _until_served(port)
                ksm.write("run", 1)
                writer.start()
                time.sleep(10)  # all have been met
                alone = _watch(run.pid, lambda: None)
                texts: list[tuple[float, str]] = []
                scraped = _watch(run.pid, lambda: texts.append(scrape(port)))
            finally:
                done.set()
                run.terminate()
                answer = run.stdout.read()
            writer.join()
    found, text = json.loads(answer), texts[-1][1]
    seconds = sorted(one for one, _ in texts)
    series = sum(not line.startswith("#") for line in text.splitlines())
    wall = SCRAPES * EVERY_SECONDS
    print(
        f"scrape, {PROCESSES:,} processes: p50 {statistics.median(seconds) * 1000:.1f} ms, "
        f"p99 {seconds[SCRAPES * 99 // 100 - 1] * 1000:.1f} ms, max {seconds[-1] * 1000:.1f} ms; "
        f"{series} series, {len(text):,} bytes; {SCRAPES} scrapes, one each {EVERY_SECONDS} s"
    )
    print(
        f"  the run's CPU: {scraped:.2f} s in {wall:.0f} s ({scraped / wall:.1%} of a core), "
        f"without scrapes {alone:.2f} s ({alone / wall:.1%}): "
        f"{(scraped - alone) / SCRAPES * 1000:.1f} ms a scrape"
    )
    print(
        f"  tier {found['tier']}: {found['events']['total']:,} events, "
        f"{found['events']['lost']} lost; "
        f"{value(text, 'ksmtrace_merged_pages_total'):,.0f} merges; "
        f"{found['events']['by_kind']['PROCESS']:,} processes named"
    )


def _watch(pid: int, each: Callable[[], object]) -> float:
    """CPU seconds that a process takes while `each` is done `SCRAPES` times, one each
    `EVERY_SECONDS`."""
    before, due = cpu_seconds(pid), time.monotonic()
    for _ in range(SCRAPES):
        each()
        due += EVERY_SECONDS
        time.sleep(max(0, due - time.monotonic()))
    return cpu_seconds(pid) - before


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _until_served(port: int) -> None:
    for _ in range(600):
        try:
            if "ksmtrace_events_total" in scrape(port)[1]:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the endpoint does not answer")


if __name__ == "__main__":
    main()
