"""The kernel as oracle: `python -m support.oracle [COUNT] [--number N]` runs random workloads twice
and compares.

With --variant NAME the second run is the reference engine's.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from ksmtrace.kernel.sysfs import ksm_directory
from ksmtrace.workload.file import Workload
from ksmtrace.workload.on_kernel import run_on_kernel
from ksmtrace.workload.tunables import DEFAULTS, RefusedError
from support.random_workloads import sample_workloads
from support.workload_text import to_toml


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its snapshots, or what was refused, as (step, tunable, errno)."""

    snapshots: tuple[dict[str, Any], ...] = ()
    refused: tuple[int | None, str, int] | None = None


def outcome(run: Callable[[], dict[str, Any]]) -> Outcome:
    """The outcome of a run on the kernel or on the engine."""
    try:
        return Outcome(tuple(run()["snapshots"]))
    except RefusedError as error:
        return Outcome(refused=(error.step, error.name, error.number))


def on_kernel(workload: Workload) -> Outcome:
    """The outcome on this machine's kernel."""
    return outcome(lambda: run_on_kernel(workload, lambda line: None))


def on_engine(workload: Workload, variant: str | None = None) -> Outcome:
    """The outcome on the engine."""
    from ksmtrace.workload.on_engine import simulate

    return outcome(lambda: simulate(workload, variant=variant))


def missing_tunables() -> set[str]:
    """Tunables that this machine's kernel does not have."""
    return {name for name in DEFAULTS if not (ksm_directory() / name).exists()}


def differences(one: Outcome, other: Outcome) -> list[str]:
    """What differs, snapshot by snapshot and counter by counter; one that either does not have is
    not compared."""
    if one.refused != other.refused:
        return [f"refused: {one.refused} and {other.refused}"]
    found = []
    for left, right in zip_longest(one.snapshots, other.snapshots):
        if left is None or right is None or left["step"] != right["step"]:
            return [*found, f"snapshots part: {left} and {right}"]
        where = f"step {left['step']} ({left['name']})"
        for counter, value in left["counters"].items():
            theirs = right["counters"][counter]
            if None not in (value, theirs) and value != theirs:
                found.append(f"{where}: {counter} {value} and {theirs}")
        if None not in (left["groups"], right["groups"]) and left["groups"] != right["groups"]:
            found.append(f"{where}: groups {left['groups']} and {right['groups']}")
    return found


def main() -> int:
    """Run COUNT workloads twice each, and keep those whose runs differ, as TOML."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("count", type=int, nargs="?", default=100)
    parser.add_argument("--number", type=int, default=0, help="which random workloads")
    parser.add_argument("--huge", action="store_true", help="with huge regions")
    parser.add_argument("--variant", help="compare with this variant of the engine")
    parser.add_argument("--keep", type=Path, default=Path("."), help="folder for those that differ")
    options = parser.parse_args()
    workloads = sample_workloads(
        options.count, number=options.number, huge=options.huge, without=missing_tunables()
    )
    second = partial(on_engine, variant=options.variant) if options.variant else on_kernel
    differing = refused = merged = 0
    started = time.monotonic()
    for index, workload in enumerate(workloads):
        first = on_kernel(workload)
        found = differences(first, second(workload))
        refused += first.refused is not None
        merged += any(snapshot["counters"]["pages_shared"] for snapshot in first.snapshots)
        if found:
            differing += 1
            kept = options.keep / f"differs-{options.number}-{index}.toml"
            kept.write_text(to_toml(workload))
            print(f"{kept}:", *found, sep="\n  ")
    print(
        f"{len(workloads)} workloads, {differing} differ; {merged} merged pages, "
        f"{refused} were refused a tunable; "
        f"{time.monotonic() - started:.1f} s"
    )
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main())
