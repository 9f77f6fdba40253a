"""What `Engine` asks of an algorithm that merges pages: KSM of some version, or a relative."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from ksmtrace.engine.machine.memory import Memory, Mm, Vma


class Scanner(Protocol):
    """One algorithm at work on one machine's memory.

    Attributes:
        name: the variant's.
        tunables: the writable files by name.
    """

    name: str
    memory: Memory
    tunables: dict[str, int]

    @property
    def shown_tunables(self) -> dict[str, str]:
        """What the files show, by name."""
        ...

    @property
    def full_scans(self) -> int:
        """Passes completed."""
        ...

    @property
    def pages_scanned(self) -> int:
        """Pages examined, also where no counter of the variant tells."""
        ...

    @property
    def comparisons(self) -> int | None:
        """How often contents, or keys, of two pages were compared; None where not counted."""
        ...

    def has_work(self) -> bool:
        """Whether there is anything to scan; else the daemon sleeps."""
        ...

    def scan_batch(self) -> None:
        """One batch of pages_to_scan pages; the end of a pass ends it."""
        ...

    def mapped(self, mm: Mm, vma: Vma) -> None:
        """A process has mapped memory."""
        ...

    def unmapped(self, mm: Mm) -> None:
        """A process has unmapped memory."""
        ...

    def written(self, mm: Mm, first: int, end: int, offset: int, length: int) -> None:
        """A process has written `length` bytes from `offset` on to each of these pages."""
        ...

    def madvise(self, mm: Mm, first: int, end: int, *, mergeable: bool) -> None:
        """A process advises on pages `first` to `end` - 1."""
        ...

    def merge_any(self, mm: Mm, *, on: bool) -> None:
        """A process sets PR_SET_MEMORY_MERGE."""
        ...

    def forked(self, parent: Mm, child: Mm, /) -> None:
        """A process has forked."""
        ...

    def exiting(self, mm: Mm) -> None:
        """A process is about to lose its memory."""
        ...

    def write_tunable(self, name: str, value: int | str) -> None:
        """Write a file; OSError when that is refused."""
        ...

    def write_run(self, value: int) -> None:
        """Write `run`; OSError when that is refused."""
        ...

    def counters(self) -> dict[str, int | None]:
        """The counters of a workload's snapshot; None for those that there are not."""
        ...

    def readings(self) -> dict[str, int]:
        """The counters by the lower-case names of `Gauge`, as a live source reads them."""
        ...


@runtime_checkable
class Relative(Scanner, Protocol):
    """A `Scanner` other than KSM's: what it saves and costs, KSM's counters do not tell."""

    @property
    def saved_pages(self) -> int:
        """Pages that need no memory of their own, by what is mapped."""
        ...

    @property
    def metadata_bytes(self) -> int:
        """Memory that the daemon keeps of pages."""
        ...
