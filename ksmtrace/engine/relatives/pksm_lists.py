"""PKSM's lists of items that wait to be examined, and how many a batch takes or hashes again."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from ksmtrace.engine.relatives.pksm_item import PksmFlag, PksmItem
from ksmtrace.errors import KsmtraceError

TUNABLES = {"pages_to_scan": 1000, "sleep_millisecs": 20, "period_seconds": 10}
"""The writable files of /sys/kernel/mm/pksm besides `run`, with what they hold after boot."""

_M32 = 0xFFFFFFFF
_EXTRA = 2
"""Lists are taken from with a post-increment and a "greater than": two items too many."""


class PksmLists:
    """new_anon_page_list and pksm_rescan_page_list.

    Attributes:
        entered: how many items have ever entered one of them.
    """

    def __init__(self) -> None:
        self.entered = 0
        self._new: dict[PksmItem, int] = {}  # by age, with how many had entered before
        self._rescan: dict[PksmItem, int] = {}

    def enter(self, item: PksmItem, flag: PksmFlag) -> None:
        """Put an item at the end of the list of `flag`, NEWLIST or RESCAN_LIST."""
        item.flags |= flag
        (self._new if flag is PksmFlag.NEWLIST else self._rescan)[item] = self.entered
        self.entered += 1

    def leave(self, item: PksmItem) -> bool:
        """Take an item out; False when it is on neither list."""
        on = self._new if PksmFlag.NEWLIST in item.flags else self._rescan
        return on.pop(item, None) is not None

    def take(self, pages_to_scan: int) -> list[PksmItem]:
        """The items of a batch in the order of their examination (ksm_do_scan).

        New ones are moved to the head of the batch's list, so that the newest comes first; those to
        be scanned again follow, as many again, in their order.
        """
        new = list(islice(self._new, pages_to_scan + _EXTRA))
        again = list(islice(self._rescan, pages_to_scan + _EXTRA))
        for item in (*new, *again):
            self.leave(item)
            item.flags &= ~(PksmFlag.NEWLIST | PksmFlag.RESCAN_LIST)
        return [*reversed(new), *again]

    def seen_before(self, entered: int) -> bool:
        """Whether nothing waits that was among the first `entered`."""
        return all(
            next(iter(one.values()), entered) >= entered for one in (self._new, self._rescan)
        )


def pages_to_hash(unshared: int, tunables: Mapping[str, int]) -> int:
    """How many items of the unstable tree the sweep visits (pksm_calc_update_pages_num).

    Raises:
        KsmtraceError: period_seconds is 0, or overflows to 0, and the kernel would divide by it.
    """
    pages, need = tunables["pages_to_scan"], unshared
    if unshared >= pages:
        period = tunables["period_seconds"] * 1000 & _M32
        if not period:
            raise KsmtraceError(
                "pksmd divides by period_seconds * 1000, which is 0 (pksm_calc_update_pages_num)"
            )
        need = unshared * tunables["sleep_millisecs"] // period & _M32
    return min(need, pages) + _EXTRA if need else 0
