"""The tunables read now and then, where writes to them cannot be probed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from ksmtrace.events.record import Records
from ksmtrace.events.tunable import TunableWrite, tunable_records
from ksmtrace.kernel.sysfs import ROOT, read_tunables


class TunablesReader:
    """Knows what the tunables were when it last looked.

    Args:
        known: name to text, as `read_tunables` has them.
        root: where /sys is.
    """

    def __init__(self, known: Mapping[str, str], root: Path = ROOT) -> None:
        self._known = dict(known)
        self._root = root

    def changed(self) -> Records:
        """A TUNABLE record, with the time of this look, for each changed since the last.

        One that cannot be read now, or could not be before, has not changed.
        """
        now = read_tunables(self._root)
        ts = time.monotonic_ns()
        writes = [
            TunableWrite(name, text, ts=ts)
            for name, text in now.items()
            if self._known.get(name, text) != text
        ]
        self._known |= now
        return tunable_records(*writes)
