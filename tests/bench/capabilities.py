"""Finds which capabilities each way of tracing needs, in guests and on this machine's own kernel.

    .venv/bin/python tests/bench/capabilities.py                 the guests of KERNELS, then here
    .venv/bin/python tests/bench/capabilities.py 6.1             this guest
    .venv/bin/python tests/bench/capabilities.py here            this machine, whose KSM it takes
    .venv/bin/python tests/bench/capabilities.py --way gather    this way alone
    .venv/bin/python tests/bench/capabilities.py --save          into tests/bench/data

A set is enough when the document, the exit status and stderr are as with all capabilities
(capabilities_seen.py). It is found by taking one capability after another away, so no smaller part
of it is enough. Nothing is changed in what the kernel's settings are (kptr_restrict,
perf_event_paranoid): a guest's are those that its Debian kernel boots with.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE.parent / "vm"), str(REPOSITORY)]


from guest import OUT  # noqa: E402
from tools.needs import KERNELS, text_table, write_results  # noqa: E402

LIMIT_SECONDS = 7200
THIS = "here"


def run(kernel, ways):
    """The results of a kernel by way, as JSON objects; all in one boot."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as scratch:
        folder = Path(scratch)
        os.chmod(folder, 0o777)
        command = [sys.executable, str(HERE / "capabilities_here.py")]
        if kernel == THIS:
            subprocess.run([*command, "--results", str(folder), *ways], check=True)
        else:
            guest = [sys.executable, str(REPOSITORY / "tests/vm/guest.py")]
            inside = [*command, "--results", str(folder), *ways]
            limit = ["--limit", str(LIMIT_SECONDS)]
            subprocess.run([*guest, *limit, kernel, "--", *inside], check=False)
        file = folder / "results"
        rows = map(json.loads, file.read_text().splitlines())
        return {row.pop("way"): row for row in rows}


def main():
    """Measure what the command line asks for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs="*", metavar="KERNEL")
    parser.add_argument("--way", action="append", help="default: all")
    parser.add_argument("--save", action="store_true", help="into tests/bench/data")
    options = parser.parse_args()
    for kernel in options.kernels or [*KERNELS, THIS]:
        found = {kernel: run(kernel, options.way or [])}
        print(text_table(found), flush=True)
        if options.save:
            write_results(found)


if __name__ == "__main__":
    main()
