"""Measures what tracing costs ksmd: its time per page, untraced, with fentry and with kprobes.

.venv/bin/python tests/vm/guest.py --icount 6.1 -- .venv/bin/python tests/bench/probes.py

Under --icount a processor's time is the instructions that it executed, so that the ratios do not
depend on other load.
"""

import statistics
import time

from ksmtrace.kernel.host import find_ksmd
from ksmtrace.sources.live.source import LiveOptions, LiveSource
from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes

PAGES = 4000
PASSES = 8
ROUNDS = 5


def ksmd_ns() -> int:
    """Processor time of ksmd so far."""
    with open(f"/proc/{find_ksmd()}/schedstat") as schedstat:
        return int(schedstat.read().split()[0])


def cost(ksm: KsmGuard, probes: str | None) -> tuple[float, float]:
    """ksmd's nanoseconds per page examined, and events per page; `probes` None is untraced."""
    source, events = None, 0
    if probes is not None:
        source = LiveSource.open(LiveOptions(probes=probes))
        batches = source.batches()
        next(batches)
    ksm.scan()
    before = ksmd_ns()
    for _ in range(PASSES):
        ksm.scan()
        if source is not None:
            events += len(next(batches))
    spent = ksmd_ns() - before
    if source is not None:
        source.close()
    return spent / (PASSES * 3 * PAGES), events / (PASSES * 3 * PAGES)


def main() -> None:
    """Print the medians and their ratios; half of the pages have merged, half wait in the unstable
    tree."""
    with KsmGuard(clean=True) as ksm, Processes() as processes:
        for name, content in (("twins", "twin:1"), ("unique", "unique:1"), ("more", "unique:2")):
            processes.spawn(name)
            processes.do(name, "map", region="r", pages=PAGES)
            processes.do(name, "fill", region="r", content=content)
            processes.do(name, "mergeable", region="r")
        ksm.start_stepping()
        ksm.write("pages_to_scan", 100_000)
        ksm.scan(4)
        found = {mode: [] for mode in (None, "fentry", "kprobe")}
        for _ in range(ROUNDS):
            for mode, costs in found.items():
                costs.append(cost(ksm, mode))
                time.sleep(0.1)
    medians = {mode: statistics.median(ns for ns, _ in costs) for mode, costs in found.items()}
    for mode, costs in found.items():
        print(
            f"{mode or 'untraced':9} {medians[mode]:8.0f} ns of ksmd per page, "
            f"{medians[mode] / medians[None]:5.2f} times "
            f"untraced, {costs[-1][1]:.2f} events per page; {[round(ns) for ns, _ in costs]}"
        )


if __name__ == "__main__":
    main()
