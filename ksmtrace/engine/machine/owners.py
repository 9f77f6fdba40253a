"""What algorithms that merge pages, and those who watch them, are told of memory by its faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ksmtrace.engine.machine.memory import Frame, Mm, Vma


class PageOwner(Protocol):
    """Follows what happens to every page, except for forks and what it does itself."""

    def page_mapped(self, page: Frame, mm: Mm, vpn: int) -> None:
        """The entry of page number `vpn` maps `page` now."""
        ...

    def page_unmapped(self, page: Frame, mm: Mm, vpn: int) -> None:
        """The entry of page number `vpn`, which mapped `page`, is gone."""
        ...

    def page_written(self, mm: Mm, vpn: int) -> None:
        """A process is about to write to page number `vpn`."""
        ...


class AnonOwner(Protocol):
    """Follows faults on anonymous memory, and pages that nobody refers to any more."""

    def anon_fault(self, page: Frame, mm: Mm, vma: Vma, vpn: int) -> None:
        """A write to an untouched page has mapped `page`, a small one (do_anonymous_page)."""
        ...

    def write_fault(self, page: Frame, mm: Mm, vma: Vma, *, taken_over: bool) -> None:
        """A fault at a write is done: `page` is mapped, `taken_over` if it was before."""
        ...

    def page_freed(self, page: Frame) -> None:
        """The last reference to a page that was mapped is gone (free_hot_cold_page)."""
        ...


class FaultWatcher(Protocol):
    """Sees faults at KSM pages."""

    def cow_fault(self, mm: Mm, vpn: int, page: Frame, *, by_kernel: bool, result: int) -> None:
        """do_wp_page on a KSM page is about to return `result`."""
        ...
