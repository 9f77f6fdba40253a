"""Measures a replay: events per second of CPU time, and memory over time. Part of `make bench`.

The capture: 100 k pages of four processes on the engine, pass after pass, until there are `EVENTS`;
of each process's pages two fifths have equals, two fifths have none, and a fifth is written to
before every pass.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ksmtrace import hookimpl
from ksmtrace.capture.writer import CaptureWriter
from ksmtrace.engine.variants import NEWEST
from ksmtrace.pipeline.manager import build_manager
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.sources.capture import CaptureSource
from ksmtrace.sources.engine import EngineSource
from ksmtrace.workload.content import Content
from ksmtrace.workload.file import Step, Workload

EVENTS = 10_000_000
PAGES = 25_000
PROCESSES = 4
SINKS = ("tui", "jsonl", "recorder", "prometheus")
LEAST_RATE = 1.0


def steps(passes: int) -> list[Step]:
    """Four processes, and `passes` full passes with writes before each."""
    made = []
    for number in range(PROCESSES):
        name, fifth = f"p{number}", PAGES // 5
        made += [
            Step("spawn", {"process": name}),
            Step("map", {"process": name, "region": "r", "pages": PAGES, "huge": False}),
            *(
                Step(
                    "fill",
                    {
                        **{"process": name, "region": "r", "first": first, "pages": 10},
                        "content": Content.parse(f"twin:{first // 40 + 1}"),
                    },
                )
                for first in range(0, 2 * fifth, 10)
            ),
            Step(
                "fill",
                {
                    **{"process": name, "region": "r", "first": 2 * fifth, "pages": 3 * fifth},
                    "content": Content.parse(f"unique:{number + 1}"),
                },
            ),
            Step("mergeable", {"process": name, "region": "r", "first": 0, "pages": PAGES}),
        ]  # fmt: skip
    for beat in range(passes):
        made += [
            Step(
                "poke",
                {
                    **{"process": f"p{number}", "region": "r", "first": 4 * PAGES // 5},
                    **{"pages": PAGES // 5, "offset": 8, "value": beat % 251},
                },
            )
            for number in range(PROCESSES)
        ]  # fmt: skip
        made.append(Step("scan", {"passes": 1}))
    return made


def record(path: Path, events: int) -> None:
    """Write the capture."""
    tunables = {"pages_to_scan": 2000, "smart_scan": 0}
    workload = Workload("replay bench", NEWEST, tunables, steps(events // 100_000))
    source = EngineSource(workload, count_comparisons=False)
    writer, written = CaptureWriter(path, source.session), 0
    for batch in source.batches():
        writer.write(batch.events)
        written += len(batch)
        if written >= events:
            break
    writer.close()


def resident_mib() -> float:
    """Resident memory of this process, now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def replay(path: Path) -> dict[str, object]:
    """Replay the capture; the rate, seconds by plugin, and memory after each tenth of the
    passes."""
    manager = build_manager([f"no:{name}" for name in SINKS])
    runner = Runner(
        CaptureSource(str(path), speed=None), manager, RunOptions(interval=1e9), fail_fast=True
    )
    sizes: list[tuple[int, float]] = []

    class Watch:
        """Notes memory after each pass."""

        @hookimpl
        def ksmtrace_scan_end(self) -> None:
            sizes.append((int(runner.state.by_kind.sum()), resident_mib()))

    manager.register(Watch(), name="watch")
    runner.calls.seconds["watch"] = 0.0
    began = time.process_time()
    runner.run()
    seconds = time.process_time() - began
    events = int(runner.state.by_kind.sum())
    return {
        "events": events,
        "passes": runner.state.passes,
        "rate": events / seconds / 1e6,
        "plugin_seconds": {name: round(spent, 2) for name, spent in runner.calls.seconds.items()},
        "seconds": round(seconds, 2),
        "resident_mib": [round(size) for _, size in sizes[:: max(1, len(sizes) // 10)]],
        "differing": runner.state.reconciliation.at_scan_stop_differing,
        "compared": runner.state.reconciliation.at_scan_stop,
    }


def main(events: int = EVENTS) -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as scratch:
        path = Path(scratch) / "bench.ksmtrace"
        record(path, events)
        answer = subprocess.check_output([sys.executable, __file__, "replay", str(path)])
    found = json.loads(answer)
    print(
        f"replay, all analyzers: {found['rate']:.2f} M events/s of CPU time (limit {LEAST_RATE}), "
        f"{found['events']:,} events in {found['passes']} passes"
    )
    print(f"  resident MiB at each tenth: {found['resident_mib']}")
    print(f"  seconds by plugin: {found['plugin_seconds']} of {found['seconds']}")
    print(f"  ends of passes compared {found['compared']}, differing {found['differing']}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["replay"]:
        print(json.dumps(replay(Path(sys.argv[2]))))
    else:
        main(*(int(word) for word in sys.argv[1:2]))
