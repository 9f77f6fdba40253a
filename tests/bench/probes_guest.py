"""The guest's side of the bench of probes (probes.py): works and counts, variant by variant.

    probes_guest.py FOLDER VARIANT...

FOLDER has the compiled worker, and takes a line of results for each variant. Everything is counted
in instructions: with --icount a nanosecond is one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from probes_peers import PEERS
from probes_variants import VARIANTS

from ksmtrace.cli.options import add_source_options
from ksmtrace.kernel.host import find_ksmd
from ksmtrace.sources.live import program
from ksmtrace.sources.live.attachment import attach
from ksmtrace.sources.live.bpf_parts import PARTS
from ksmtrace.sources.live.opening import LiveOptions, plan_of
from ksmtrace.sources.live.program import RING_BYTES
from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.ksmd import drain_lru
from support.precompiled import compile_on_host

PAGES = 4000
"""Of each of three processes: one whose pages have merged, two whose pages wait in the unstable
tree."""
ALL = 3 * PAGES
PAIRS, CROWD = 1000, 500
"""Merged pages that are written to before a pass of `merging`: of those in pairs, and of those with
a hundred sharers. Together they are an eighth of all pages, and all merge again in that pass."""
SMART_PASSES = 9
"""Smart scan passes over a page eight times, then examines it."""


class Worker:
    """A process of probes_worker.c that answers each line with a line."""

    def __init__(self, stack, *command):
        self._process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self._process.kill)

    def ask(self, *words):
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return [float(word) for word in self._process.stdout.readline().split()]


class Product:
    """What `live` attaches, by its own plan, text and attachment; only compiled elsewhere."""

    def __init__(self, variant):
        parser = argparse.ArgumentParser()
        add_source_options(parser)
        asked = parser.parse_args(variant.asked.split())
        options = LiveOptions(probes=asked.probes, cow=asked.cow, totals=asked.totals)
        plan = plan_of(options, "")
        left_out = {body for part in PARTS if part.file in variant.without for body in part.bodies}
        for hook in [hook for hook in plan.placements if hook.body in left_out]:
            del plan.placements[hook]
        self._totals = plan.totals
        program.compile_text = compile_on_host
        self._attachment = attach(plan, find_ksmd(), RING_BYTES)

    def take(self):
        """Number of records since the last time."""
        return self._attachment.drain(1 << 30).slots

    def lost(self):
        return 0 if self._totals else self._attachment.lost()

    def close(self):
        self._attachment.close()


class Untraced:
    def take(self):
        return 0

    def lost(self):
        return 0

    def close(self):
        pass


class Bench:
    def __init__(self, stack, folder, ksm):
        self._worker = shutil.copy(folder / "worker", "/dev/shm/worker")
        self._ksm = ksm
        self._smart = ksm.has("smart_scan")
        self._memory = [Worker(stack, self._worker, "memory", str(PAGES)) for _ in range(3)]
        self._ksmd = Worker(stack, self._worker, "ksmd", str(find_ksmd()))
        self._contents = 0
        if self._smart:
            ksm.write("smart_scan", 0)
        ksm.start_stepping(pages_to_scan=100)
        ksm.write("run", 1)
        self._fill_settled()
        self._pass(4)
        if self._smart:
            ksm.write("smart_scan", 1)
            self._pass(14)
            ksm.write("smart_scan", 0)
            self._pass(3)

    def measure(self, traced):
        """What is counted with something at work beside ksmd: a line of results."""
        instructions, events, lost, skipped = {}, {}, traced.lost(), 0.0
        for name, work in self._workloads().items():
            self._one(work)
            traced.take()
            passes = SMART_PASSES if name == "smart scan" else 2
            before = self._skipped()
            spent, came, apart = 0.0, 0, 0
            for _ in range(passes):
                spent += self._one(work)
                came += traced.take()
                apart += PAGES - self._sharers()
            instructions[name] = spent / passes / ALL
            events[name] = came / passes / ALL
            if name == "merging":
                merges = (PAIRS + CROWD - apart / passes) / ALL
                instructions["write to KSM page"] = self._a_write
            if name == "smart scan":
                skipped = (self._skipped() - before) / passes / ALL
                self._ksm.write("smart_scan", 0)
        self._fill_settled()
        self._pass(3)
        return {
            "instructions": instructions | self._everybody(),
            "events": events,
            "lost": traced.lost() - lost,
            "merges": merges,
            "skipped": skipped,
        }

    def _everybody(self):
        command = [self._worker, "everybody"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        names = ("anonymous fault", "write after fork", "pipe round trip", "fork and exec")
        return dict(zip(names, map(float, ran.stdout.split()), strict=True))

    def _workloads(self):
        works = {"settled": lambda: None, "merging": self._write_to_merged}
        if self._smart:
            works["smart scan"] = lambda: self._ksm.write("smart_scan", 1)
        return works | {"volatile": self._rewrite}

    def _one(self, work):
        work()
        return self._pass(1)

    def _pass(self, count):
        """Nanoseconds of ksmd in so many passes."""
        drain_lru()
        return self._ksmd.ask(count)[0]

    def _fill_settled(self):
        half = PAGES // 2
        self._memory[0].ask("fill", 0, half, 1 << 20, 2)
        self._memory[0].ask("fill", half, half, 2 << 20, 1, half // 100)
        for number, memory in enumerate(self._memory[1:]):
            memory.ask("fill", 0, PAGES, 3 + number << 20)

    def _write_to_merged(self):
        self._memory[0].ask("poke", 0, PAIRS)
        self._a_write = self._memory[0].ask("poke", PAGES // 2, CROWD)[0]

    def _sharers(self):
        return self._ksm.counter("pages_shared") + self._ksm.counter("pages_sharing")

    def _skipped(self):
        return self._ksm.counter("pages_skipped") if self._smart else 0

    def _rewrite(self):
        for memory in self._memory:
            self._contents += 1
            memory.ask("fill", 0, PAGES, 16 + self._contents << 20)


def begin(name):
    """What a variant runs beside ksmd, at work."""
    if name.startswith("untraced"):
        return Untraced()
    if name in PEERS:
        return PEERS[name]()
    return Product(VARIANTS[name])


def main(folder, names):
    """Write a line of results for each variant, as it is done."""
    with KsmGuard(clean=True) as ksm, ExitStack() as stack, (folder / "results").open("w") as out:
        bench = Bench(stack, folder, ksm)
        for name in names:
            started = time.monotonic()
            found = {"variant": name}
            try:
                traced = begin(name)
                begun = time.monotonic()
                try:
                    found |= bench.measure(traced)
                finally:
                    traced.close()
            except Exception as error:  # noqa: BLE001 - the others are still measured
                found["error"] = f"{type(error).__name__}: {error}"
                begun = time.monotonic()
            found["seconds"] = [round(begun - started, 1), round(time.monotonic() - begun, 1)]
            print(json.dumps(found), file=out, flush=True)
            os.fsync(out.fileno())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
