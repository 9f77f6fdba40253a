"""The base of KSM's relatives, which scan all memory: no registration, and few tunables."""

from __future__ import annotations

import errno
from collections.abc import Mapping

from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.content import PagePool
from ksmtrace.engine.machine.memory import Memory, Mm, Vma

_UINT_MAX = 2**32 - 1


def check_unsigned(name: str, value: int | str) -> int:
    """The number that is written to a file which holds an unsigned int; OSError (EINVAL) else."""
    text = str(value)
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _UINT_MAX):
        raise OSError(errno.EINVAL, f"EINVAL on writing {value} to {name}")
    return int(text)


class RelativeScanner:
    """A `Scanner` of all memory of all processes; a subclass adds the scan itself."""

    def __init__(self, variant: Variant, watcher: Watcher, tunables: Mapping[str, int]) -> None:
        self.name = variant.name
        self.watcher = watcher
        self.memory = Memory(variant, PagePool(variant.checksum), watcher)
        self.tunables = dict(tunables)
        self._passes = 0
        self._scanned = 0

    def counters(self) -> dict[str, int | None]:
        """The counters of a workload's snapshot; None for those that there are not."""
        raise NotImplementedError

    def readings(self) -> dict[str, int]:
        """The counters that there are."""
        return {name: value for name, value in self.counters().items() if value is not None}

    @property
    def shown_tunables(self) -> dict[str, str]:
        """The tunables as text."""
        return {name: str(value) for name, value in self.tunables.items()}

    @property
    def full_scans(self) -> int:
        """Passes completed, as the relative's class defines them."""
        return self._passes

    @property
    def pages_scanned(self) -> int:
        """Pages examined."""
        return self._scanned

    @property
    def saved_pages(self) -> int:
        """Pages that need no memory of their own, by what is mapped."""
        raise NotImplementedError

    @property
    def metadata_bytes(self) -> int:
        """Memory that the daemon keeps of pages."""
        raise NotImplementedError

    def has_work(self) -> bool:
        """Whether there are processes."""
        return bool(self.memory.mms)

    def mapped(self, mm: Mm, vma: Vma) -> None:
        """Nothing: all memory is scanned."""

    def unmapped(self, mm: Mm) -> None:
        """Nothing: what there is to forget goes page by page."""

    def written(self, mm: Mm, first: int, end: int, offset: int, length: int) -> None:
        """Nothing: faults tell what a relative wants to know."""

    def madvise(self, mm: Mm, first: int, end: int, *, mergeable: bool) -> None:
        """Ignored: all memory is scanned."""

    def merge_any(self, mm: Mm, *, on: bool) -> None:
        """Ignored: all memory is scanned."""

    def forked(self, _parent: Mm, child: Mm, /) -> None:
        """Count the child's zero pages; of its other pages nothing is new."""
        self.memory.ksm_zero_pages += len(child.ksm_zero)

    def exiting(self, mm: Mm) -> None:
        """Nothing: what there is to forget goes page by page."""

    def write_tunable(self, name: str, value: int | str) -> None:
        """Set a tunable, an unsigned int; OSError (ENOENT, EINVAL) for everything else."""
        if name not in self.tunables:
            raise OSError(errno.ENOENT, f"ENOENT on writing {value} to {name}")
        self.tunables[name] = check_unsigned(name, value)

    def write_run(self, value: int) -> None:
        """Accept 0, 1 and 2; OSError (EINVAL) for everything else."""
        if value not in (0, 1, 2):
            raise OSError(errno.EINVAL, f"EINVAL on writing {value} to run")
