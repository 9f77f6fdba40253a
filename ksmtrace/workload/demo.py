"""The demo's workload: three processes with much in common, and pages of all kinds that KSM meets.

Virtual machines with one operating system have as much in common.
"""

from __future__ import annotations

import itertools
import threading
from typing import Self

from ksmtrace.workload.guard import KsmGuard
from ksmtrace.workload.processes import Processes

NAMES = ("demo-web", "demo-db", "demo-cache")

COMMON = 16_384
"""Pages of each process that differ from each other, and that all processes have alike."""

EQUAL, UNIQUE, ZERO, VOLATILE, REWRITTEN = 600, 300, 60, 120, 80
"""Pages of each kind in each process; equal and rewritten ones are equal in all processes."""

FAST_PAGES = 1_500
"""`pages_to_scan` for seven seconds: the work of two minutes at the default pace."""

REWRITTEN_LATER = 40
"""How many `REWRITTEN` pages of each process get a content of their own, 6 s after the start."""

_BEAT_SECONDS = 0.05
_SWITCH_ON_AT_BEAT, _SLOW_DOWN_AT_BEAT = 10, 150
_REWRITE_AT_BEAT = 120


class Demo:
    """The processes `NAMES`, ready to be merged; a context manager.

    `run` is switched on, at a fast pace for seven seconds, in which what is common merges, then at
    the kernel's default one (`pages_to_scan`, `sleep_millisecs`, no advisor); all is put back.

    Raises:
        HostError: no KSM, not root, or another demo is running.
    """

    def __init__(self) -> None:
        self._guard = KsmGuard(clean=False)
        self._ending = threading.Event()

    def __enter__(self) -> Self:
        self._guard.__enter__()
        self._processes = Processes()
        try:
            for index, name in enumerate(NAMES):
                self._prepare(name, index)
        except BaseException:
            self._processes.close()
            self._guard.__exit__()
            raise
        self._thread = threading.Thread(target=self._live, name="demo", daemon=True)
        return self

    def start(self) -> None:
        """Switch KSM on in a moment, and let the processes live."""
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            self._processes.close()
            if self._thread.ident is not None:
                self._guard.settle(10.0)
        finally:
            self._guard.__exit__(*error)

    def _prepare(self, name: str, index: int) -> None:
        do = self._processes.do
        self._processes.spawn(name)
        for region, pages, content in (
            ("common", COMMON, "unique:0"),
            ("equal", EQUAL, "twin:1"),
            ("unique", UNIQUE, f"unique:{index + 1}"),
            ("zero", ZERO, "zero"),
            ("volatile", VOLATILE, f"unique:{index + 101}"),
            ("rewritten", REWRITTEN, "twin:2"),
        ):
            do(name, "map", region=region, pages=pages)
            do(name, "fill", region=region, content=content)
            do(name, "mergeable", region=region)

    def _switch_on(self) -> None:
        """With the kernel's own tunables: a ksmd that sleeps for an hour would show nothing."""
        self._guard.write_defaults("advisor_mode", "pages_to_scan", "sleep_millisecs")
        self._guard.write("pages_to_scan", FAST_PAGES)
        self._guard.write("run", 1)

    def _live(self) -> None:
        """Rewrite the volatile pages again and again; the others once, after they have merged."""
        for beat in itertools.count():
            if self._ending.wait(_BEAT_SECONDS):
                return
            if beat == _SWITCH_ON_AT_BEAT:
                self._switch_on()
            if beat == _SLOW_DOWN_AT_BEAT:
                self._guard.write_defaults("pages_to_scan")
            for name in NAMES:
                self._processes.do(name, "poke", region="volatile", offset=8, value=beat % 251)
            if beat == _REWRITE_AT_BEAT:
                for index, name in enumerate(NAMES):
                    self._processes.do(
                        name,
                        "fill",
                        region="rewritten",
                        pages=REWRITTEN_LATER,
                        content=f"unique:{index + 201}",
                    )
