"""The tunables after writes to /sys/kernel/mm/ksm, by the engine's own *_store functions."""

from __future__ import annotations

from collections.abc import Mapping

from ksmtrace.engine.ksm.state import Ksm
from ksmtrace.engine.ksm.tunables import store_tunable
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.events.tunable import TunableWrite


class TunablesShadow:
    """Tunables of a kernel whose writes are known, stored on a machine without pages.

    Such a machine has no reason for EBUSY.

    Args:
        variant: what that kernel is like.
        shown: the texts of its files at first; what the variant does not know, or would refuse, is
            passed over.

    Attributes:
        values: as numbers, as `Ksm.tunables` has them.
    """

    def __init__(self, variant: Variant, shown: Mapping[str, str]) -> None:
        self._ksm = Ksm(variant)
        self._absent = variant.absent_tunables
        self.values = self._ksm.tunables
        for name, text in shown.items():
            if name != "advisor_mode":
                self._store(name, text)
        if shown.get("advisor_mode") == "scan-time":  # to write that would set pages_to_scan
            self.values["advisor_mode"] = 1

    def take(self, write: TunableWrite) -> dict[str, int] | None:
        """What `write`, which the kernel accepted, changed.

        Returns:
            Values by name, empty for files that are not followed, such as `run`; None when that is
            unknown.
        """
        if write.name not in self.values or write.name in self._absent:
            return {}
        before = dict(self.values)
        if not write.complete or not self._store(write.name, write.text):
            return None
        return {name: value for name, value in self.values.items() if value != before[name]}

    def _store(self, name: str, text: str) -> bool:
        try:
            store_tunable(self._ksm, name, text)
        except OSError:
            return False
        return True
