"""Runs a scanner's daemon for passes or batches."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from ksmtrace.engine.ksm.tunables import RUN_MERGE, RUN_STOP
from ksmtrace.engine.machine.scanner import Scanner
from ksmtrace.errors import KsmtraceError


def run_ksmd(scanner: Scanner, *, passes: int, batches: int) -> Iterator[int]:
    """Scan, with `run` at 1 meanwhile, until that many passes or batches are done.

    Yields:
        After each batch: how many passes, or batches, have been done.

    Raises:
        KsmtraceError: pages_to_scan is 0, so that no pass would ever end.
    """
    if passes and not scanner.tunables.get("pages_to_scan", 1):
        raise KsmtraceError("with pages_to_scan = 0 no pass ever ends")
    before = scanner.full_scans
    ran = done = 0
    scanner.write_run(RUN_MERGE)
    try:
        while done < (passes or batches) and scanner.has_work():
            with _collector_paused():
                scanner.scan_batch()
            ran += 1
            done = scanner.full_scans - before if passes else ran
            yield done
    finally:
        scanner.write_run(RUN_STOP)


@contextmanager
def _collector_paused() -> Iterator[None]:
    # Python's cycle collector would visit a million new objects over and over.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
