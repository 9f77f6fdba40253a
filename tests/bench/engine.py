"""Measures the engine: pages per second of CPU time, and bytes per page. Part of `make bench`.

The population: `PAGES` pages in four processes, 40 % of them in 20 k classes of equal pages, the
others unlike any other, all shuffled; the newest kernel without smart scan, each pass one batch.
Then all other variants on the same. Every run is a process of its own.
"""

import json
import random
import resource
import statistics
import subprocess
import sys
import time
import timeit
from typing import Any

from ksmtrace.engine.engine import Engine
from ksmtrace.engine.machine.checksum import xxhash
from ksmtrace.engine.trace.emitter import Emitter
from ksmtrace.engine.variants import NEWEST, VARIANTS

PAGES = 1_000_000
DUPLICATES = 0.4
CLASSES = 20_000
PROCESSES = 4
PASSES = 5
RUNS = 3
MODES: dict[str, Any] = {
    "reference": {"mode": "reference"},
    "counting": {},
    "not counting": {"count_comparisons": False},
}
"""By what a line calls it, arguments of `Engine`."""
LEAST_RATE = {"counting": 0.2, "not counting": 2.0}
MOST_BYTES = 400
COMPARED_PAGES = 300_000
OTHERS: dict[str, dict[str, int | str]] = {
    name: {"page_time_ns": 1} if name == "uksm" else {"pages_to_scan": PAGES + 1}
    for name in VARIANTS
    if name != NEWEST
}
"""All other variants, with tunables by which they come to every page in one or a few batches."""
ONE_LOOK = ("pksm", "zero-page", "uksm")
"""Those that merge at the first sight; others do at the second."""
HASH_NS = 344
"""`hash_ns` of the machine on which the limits were set."""


def words(pages: int) -> list[int]:
    """The word that each page repeats."""
    equal = int(pages * DUPLICATES)
    classes = max(1, CLASSES * pages // PAGES)
    made = [1 << 40 | index % classes for index in range(equal)]
    chance = random.Random(1)
    made += [chance.getrandbits(64) for _ in range(pages - equal)]
    chance.shuffle(made)
    return [int.from_bytes(word.to_bytes(8, "little"), "big") for word in made]


def resident() -> int:
    """Bytes of memory that this process has now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def measure(mode: str, pages: int, *, events: bool) -> dict[str, object]:
    """Million pages per second of each pass and of all, bytes per page, nanoseconds of a
    checksum."""
    emitter = Emitter() if events else None
    engine = Engine(
        NEWEST, {"pages_to_scan": pages + 1, "smart_scan": 0}, watcher=emitter, **MODES[mode]
    )
    before = populate(engine, pages)
    each = pages // PROCESSES
    rates, all_began = [], time.process_time()
    for _ in range(PASSES):
        began = time.process_time()
        for _ in engine.scan(passes=1):
            if emitter is not None:
                emitter.take()
        rates.append(each * PROCESSES / (time.process_time() - began) / 1e6)
    return {
        "rates": rates,
        "mean": each * PROCESSES * PASSES / (time.process_time() - all_began) / 1e6,
        "bytes": (resident() - before) / pages,
        "hash_ns": hash_ns(),
        "counters": engine.counters(),
    }


def populate(engine: Engine, pages: int) -> int:
    """Give the engine the population; returns the memory that there was in use before."""
    contents = [word.to_bytes(8, "little") for word in words(pages)]
    each = pages // PROCESSES
    before = resident()
    for number in range(PROCESSES):
        name = f"p{number}"
        engine.spawn(name)
        engine.map(name, "r", each)
        engine.fill(name, "r", 0, each, lambda i, at=number * each: contents[at + i] * 512)
        engine.mergeable(name, "r", 0, each)
    return before


def measure_other(variant: str, pages: int) -> dict[str, object]:
    """Million pages examined per second until all could be merged, bytes per page, what was
    saved."""
    engine = Engine(variant, OTHERS[variant])
    looks = 1 if variant in ONE_LOOK else 2
    before = populate(engine, pages)
    scanner = engine.scanner
    began = time.process_time()
    while scanner.pages_scanned < looks * pages:
        engine.scan_batches(1)
    seconds = time.process_time() - began
    frames = {id(f) for p in engine.processes.values() for f in p.mm.ptes.values() if f.anon}
    return {
        "rate": scanner.pages_scanned / seconds / 1e6,
        "bytes": (resident() - before) / pages,
        "examined": scanner.pages_scanned,
        "saved": pages - len(frames),
    }


def hash_ns() -> float:
    """Nanoseconds that the checksum of a page takes: a measure of this machine's speed."""
    page = bytes(4096)
    return min(timeit.repeat(lambda: xxhash(page), number=20_000, repeat=5)) / 20_000 * 1e9


def measured(mode: str, pages: int, *, events: bool) -> dict[str, Any]:
    """`measure`, or `measure_other` for the name of one, in a process of its own."""
    options = [mode, str(pages), str(int(events))]
    found: dict[str, Any] = json.loads(
        subprocess.check_output([sys.executable, __file__, *options])
    )
    return found


def compare(pages: int) -> None:
    """Print what the accelerated mode, counting, gains on the reference, one run of each."""
    counting, reference = (
        measured(mode, pages, events=False) for mode in ("counting", "reference")
    )
    print(
        f"engine, accelerated against reference, {pages} pages: "
        f"{counting['mean'] / reference['mean']:.1f} times as fast, "
        f"{counting['bytes'] / reference['bytes']:.2f} of the memory"
    )


def main(pages: int = PAGES, runs: int = RUNS) -> None:
    """Print a line per mode; the limits are of a machine on which the checksum of a page takes
    `HASH_NS`."""
    for mode, least in LEAST_RATE.items():
        for events in (False, True):
            found = [measured(mode, pages, events=events) for _ in range(runs)]
            rates = [
                statistics.median(run["rates"][index] for run in found) for index in range(PASSES)
            ]
            mean = statistics.median(run["mean"] for run in found)
            size = statistics.median(run["bytes"] for run in found)
            took = statistics.median(run["hash_ns"] for run in found)
            print(
                f"engine, {mode}, {'with' if events else 'no'} events, median of {runs}: "
                f"{mean:.2f} M pages/s over {PASSES} passes (limit {least}); "
                f"by pass {' '.join(f'{rate:.2f}' for rate in rates)}; "
                f"{size:.0f} bytes a page (limit {MOST_BYTES}); a checksum took {took:.0f} ns, "
                f"{HASH_NS} where the limit was "
                f"set: {mean / least * took / HASH_NS:.2f} times the limit of a machine "
                "of this speed"
            )


def others(pages: int = PAGES) -> None:
    """Print a line per variant except the newest kernel's, one run of each."""
    for variant in OTHERS:
        found = measured(variant, pages, events=False)
        print(
            f"engine, {variant}, {pages} pages: {found['rate']:.2f} M pages/s over "
            f"{found['examined']} examined; {found['bytes']:.0f} bytes a page; "
            f"{found['saved']} pages saved"
        )


def run_one(mode: str, pages: str, events: str) -> dict[str, object]:
    """What a process of its own measures."""
    if mode in OTHERS:
        return measure_other(mode, int(pages))
    return measure(mode, int(pages), events=events == "1")


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(run_one(*sys.argv[1:])))
    else:
        main()
        compare(COMPARED_PAGES)
        others()
