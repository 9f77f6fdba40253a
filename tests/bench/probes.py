"""Measures what tracing costs ksmd and everybody else, in instructions, in guests of one processor.

    .venv/bin/python tests/bench/probes.py                    every kernel
    .venv/bin/python tests/bench/probes.py 6.1 6.12           these
    .venv/bin/python tests/bench/probes.py --variant kprobe   beside untraced, these variants alone
    .venv/bin/python tests/bench/probes.py --save             what is found becomes what is compared

In brackets is what a variant added in the committed results. BPF text is compiled here while the
guest waits: in a guest that counts instructions that takes an hour.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE.parent / "vm"), str(REPOSITORY)]

from probes_peers import PEERS  # noqa: E402
from probes_variants import VARIANTS  # noqa: E402

from guest import OUT  # noqa: E402
from kernels import install, kernels  # noqa: E402
from tools.costs import AGAIN, Cost, KernelCosts, read_results, text_table, write_results  # noqa: E402

LIMIT_SECONDS = 3600
UNTRACED = "untraced"


def run(kernel, variants):
    """The results of a kernel, by variant, in the order of `variants`; all in one boot."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as scratch:
        folder = Path(scratch)
        source = str(HERE / "probes_worker.c")
        subprocess.run(["gcc", "-O2", "-static", "-o", str(folder / "worker"), source], check=True)
        guest = [sys.executable, str(REPOSITORY / "tests/vm/guest.py"), "--icount"]
        inside = [sys.executable, str(HERE / "probes_guest.py"), str(folder), *variants]
        limit = ["--limit", str(LIMIT_SECONDS)]
        with subprocess.Popen([*guest, *limit, kernel, "--", *inside]) as ran:
            shown = 0
            while ran.poll() is None:
                shown = _show(folder, shown)
                time.sleep(0.2)
        _show(folder, shown)
        return _lines(folder)


def _lines(folder):
    file = folder / "results"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _show(folder, shown):
    lines = _lines(folder)
    for line in lines[shown:]:
        print(f"{time.strftime('%X')} {line['variant']}: {line.get('error', 'done')}", flush=True)
    return len(lines)


def costs_of(release, lines):
    """A kernel's results as they are committed: of lines from its guest, one for each variant."""
    found = {line["variant"]: line for line in lines if "error" not in line}
    costs = {name: Cost(line["instructions"], line["events"]) for name, line in found.items()}
    plain = found[UNTRACED]
    return KernelCosts(
        release=release,
        merges=plain["merges"],
        skipped=plain["skipped"],
        untraced=costs.pop(UNTRACED),
        variants=costs,
        failed={line["variant"]: line["error"] for line in lines if "error" in line},
    )


def main():
    """Measure what the command line asks for, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs="*", metavar="KERNEL")
    parser.add_argument("--variant", action="append", help="default: all, and the peers")
    parser.add_argument("--save", action="store_true", help="into tests/bench/data")
    options = parser.parse_args()
    names = [UNTRACED, *(options.variant or [*VARIANTS, *PEERS]), AGAIN]
    committed = read_results()
    for kernel in options.kernels or kernels():
        release = install(kernels()[kernel])
        costs = costs_of(release, run(kernel, names))
        print(text_table(costs, committed.get(kernel)), flush=True)
        if options.save:
            write_results({kernel: costs})


if __name__ == "__main__":
    main()
