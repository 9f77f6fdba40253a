"""Finds which process was forked from which, by page frames in common that ksmd did not merge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ksmtrace.whatif.history import Interval, Page, Place, Process


def note_fork(
    child: Process,
    interval: Interval,
    processes: Sequence[Process],
    freed: Iterable[tuple[Place, Page]],
) -> None:
    """Find the parent of a process seen in one complete pass; note in `interval` what differs.

    Args:
        child: the process.
        interval: the one before that pass.
        processes: all that were seen, in the order in which ksmd came to them.
        freed: pages that were gone in that pass; a child may still have them.
    """
    older = [process for process in processes[: child.number] if not process.gone]
    pages = {process.number: dict(process.pages) for process in older}
    for (number, vpn), page in freed:
        if number in pages:
            pages[number].setdefault(vpn, page)
    shared = {number: _shared_pages(those, child) for number, those in pages.items()}
    parent = max(older, key=lambda one: len(shared[one.number]), default=None)
    if parent is None or not shared[parent.number]:
        return
    child.parent = parent
    child.related = parent.related = True
    inherited = pages[parent.number]
    for vpn in inherited.keys() - child.pages.keys():
        if not inherited[vpn].zero:
            interval.vanished.add((child.number, vpn))
    for vpn in (child.pages.keys() & inherited.keys()) - shared[parent.number]:
        _note_copy(vpn, child, parent, interval)


def _shared_pages(pages: Mapping[int, Page], child: Process) -> set[int]:
    return {
        vpn
        for vpn, page in child.pages.items()
        if page.adoptable and vpn in pages and _is_same_frame(page, pages[vpn])
    }


def _is_same_frame(page: Page, other: Page) -> bool:
    pfn = page.examined_pfn
    return pfn != 0 and pfn in (other.examined_pfn, other.pfn)


def _note_copy(vpn: int, child: Process, parent: Process, interval: Interval) -> None:
    # One of the two has written: if the parent, after the fork, and the child has the old page.
    by_parent = interval.written.get((parent.number, vpn))
    by_child = interval.written.get((child.number, vpn))
    if by_parent is not None and parent not in interval.appeared:
        by_parent.after_forks = True
    elif by_child is not None:
        by_child.certain = True
