"""Writes to tunables, as far as a case can have them."""

from __future__ import annotations

from ksmtrace.engine.tunables_shadow import TunablesShadow
from ksmtrace.events.tunable import TunableWrite


class CaseTunables:
    """Follows the writes of a capture.

    Args:
        written: the tunables as they are at first.

    Attributes:
        amid: how many came while a pass was under way; they count from the next one on.
        untold: files that were written, and to what cannot be told.
    """

    def __init__(self, written: TunablesShadow) -> None:
        self._written = written
        self.amid = 0
        self.untold: set[str] = set()

    def take(self, write: TunableWrite, *, amid: bool) -> dict[str, int]:
        """The values that a write changed, of the tunables that passes of a built can have."""
        changed = None if write.err else self._written.take(write)
        if changed is None and not write.err:
            self.untold.add(write.name)
        found = {
            name: value for name, value in (changed or {}).items() if _is_followed(name, value)
        }
        self.amid += amid and bool(found)
        return found


def _is_followed(name: str, value: int) -> bool:
    """Nothing is known of time, by which the advisor goes; and without any page to scan no pass would end."""
    timed = name == "sleep_millisecs" or name.startswith("advisor_")
    return not timed and (name, value) != ("pages_to_scan", 0)
