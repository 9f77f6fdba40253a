r"""Traces for long while thousands of processes come and go: memory, descriptors, threads, losses.

    .venv/bin/python tests/bench/soak.py 3600
    .venv/bin/python tests/vm/guest.py --limit 7200 6.1 -- \
        .venv/bin/python tests/bench/soak.py 3600 auto 18

The last number is the longest life of a process in seconds (6): in a guest, whose processor is
emulated, three times as long is as hard. The curves go to soak.json in $OUT, or here.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
from ksmtrace.workload.guard import KsmGuard
from support.soak import Soak, soak


def report(found: Soak) -> None:
    """Print what a soak came to."""
    for name in ("resident_bytes", "serving_bytes", "descriptors", "threads"):
        values = getattr(found, name)
        parts = [max(found.part(values, part / 10, (part + 1) / 10)) for part in range(10)]
        shown = [value >> 20 if name.endswith("bytes") else value for value in parts]
        print(f"{name}, highest in each tenth ({'MiB' if 'bytes' in name else 'count'}):", *shown)
    document = found.document
    print(f"born {found.born}, scrapes {found.scrapes}, looks {len(found.seconds)}")
    for key in ("tier", "events", "passes", "duration_seconds", "reconciliation", "self_check"):
        print(key, json.dumps(document.get(key)))
    print("stderr:", found.errors.strip() or "nothing")


def main(seconds: float, probes: str = "auto", longest: str = "6", *more: str) -> None:
    """Soak, print, and keep the curves."""
    with KsmGuard(clean=True) as ksm:
        found = soak(ksm, seconds, probes, float(longest), more)
    kept = Path(os.environ.get("OUT", ".")) / "soak.json"
    kept.write_text(json.dumps({**asdict(found), "document": {}}))
    report(found)


if __name__ == "__main__":
    main(float(sys.argv[1]), *sys.argv[2:])
