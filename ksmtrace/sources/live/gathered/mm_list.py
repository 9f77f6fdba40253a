"""The order in which ksmd goes over the mms: its list of slots, as far as it can be known."""

from __future__ import annotations

from collections.abc import Iterator

HEAD = 0
"""The list's head, in place of an mm: ksmd is between two passes."""


class MmList:
    """A circle of mms, as ksm_mm_head's; `HEAD` is always on it.

    Registered mms join in front of the cursor (__ksm_enter), those that exit go behind it
    (__ksm_exit). What else ksmd's list has, the walks show.
    """

    def __init__(self) -> None:
        self._next = {HEAD: HEAD}
        self._before = {HEAD: HEAD}

    def __contains__(self, mm: int) -> bool:
        return mm in self._next

    def __iter__(self) -> Iterator[int]:
        """All mms, from the head on."""
        return self.following(HEAD)

    def following(self, mm: int) -> Iterator[int]:
        """Those behind `mm`, up to the head."""
        mm = self._next[mm]
        while mm != HEAD:
            after = self._next[mm]
            yield mm
            mm = after

    def before(self, mm: int) -> int:
        """The one in front of `mm`."""
        return self._before[mm]

    def remove(self, mm: int) -> None:
        """`mm` leaves the list, if it is there."""
        if mm != HEAD and mm in self._next:
            before, after = self._before.pop(mm), self._next.pop(mm)
            self._next[before], self._before[after] = after, before

    def put_behind(self, place: int, mm: int) -> None:
        """`mm` is now the one behind `place`."""
        if mm in (place, HEAD):
            return
        self.remove(mm)
        after = self._next[place]
        self._next[place] = self._before[after] = mm
        self._next[mm], self._before[mm] = after, place

    def put_before(self, place: int, mm: int) -> None:
        """`mm` is now the one in front of `place`."""
        if mm != place:
            self.remove(mm)
            self.put_behind(self._before[place], mm)

    def skipped_over(self, place: int, mm: int) -> list[int]:
        """Follow ksmd from `place` to `mm`: those that it met on the way, which are gone.

        Where the list has `mm` elsewhere, it is put behind `place`.
        """
        gone: list[int] = []
        for one in self.following(place):
            if one == mm:
                return gone
            gone.append(one)
        if mm == HEAD:
            return gone
        self.put_behind(place, mm)
        return []
