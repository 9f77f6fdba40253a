"""The writes to tunables of a capture that a case can repeat."""

from __future__ import annotations

from ksmtrace.engine.tunables_shadow import TunablesShadow
from ksmtrace.events.tunable import TunableWrite


class CaseTunables:
    """Follows the writes of a capture.

    Args:
        written: the tunables as they are at first.

    Attributes:
        during_passes: how many came while a pass was under way; they count from the next one on.
        unclear: files of which it is not known what was written to them.
    """

    def __init__(self, written: TunablesShadow) -> None:
        self._written = written
        self.during_passes = 0
        self.unclear: set[str] = set()

    def take(self, write: TunableWrite, *, during_pass: bool) -> dict[str, int]:
        """The values that a write changed, of the tunables that a case can repeat."""
        changed = None if write.err else self._written.take(write)
        if changed is None and not write.err:
            self.unclear.add(write.name)
        found = {
            name: value for name, value in (changed or {}).items() if _is_followed(name, value)
        }
        self.during_passes += during_pass and bool(found)
        return found


def _is_followed(name: str, value: int) -> bool:
    """Whether a case can repeat it: time is not known, and at pages_to_scan = 0 no pass ends."""
    timed = name == "sleep_millisecs" or name.startswith("advisor_")
    return not timed and (name, value) != ("pages_to_scan", 0)
