"""What ksmd has done with many pages at once, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.ksm.watcher import Watcher

if TYPE_CHECKING:
    from ksmtrace.engine.machine.memory import Mm

Mask = npt.NDArray[np.bool_]
Slots = npt.NDArray[np.intp]


class Done:
    """What has become of a page; plain numbers, since NumPy is slow with others."""

    NOTHING: Final = 0
    """It is absent, or maps the zero page: no candidate."""
    SETTLED: Final = 1
    """A KSM page, in its place."""
    SKIPPED: Final = 2
    """Smart scan passed over it."""
    CHANGED: Final = 3
    """Its checksum was not that of the last look."""
    JOINED: Final = 4
    """It joined the unstable tree."""
    SHARED: Final = 5
    """It gave way to a KSM page."""
    PAIRED: Final = 6
    """It became a KSM page, to which a page in the unstable tree gave way."""


class Partners(NamedTuple):
    """The pages in the unstable tree that PAIRED ones met.

    Keys of processes, page numbers, frame numbers, and keys of rmap_items.
    """

    mm_key: npt.NDArray[np.uint64]
    vpn: npt.NDArray[np.uint64]
    pfn: npt.NDArray[np.uint32]
    key: npt.NDArray[np.uint64]


@dataclass(slots=True)
class BulkResult:
    """Neighbouring pages of one process, in the order in which ksmd came to them.

    Attributes:
        mm: the process.
        first: number of the first page.
        done: `Done`.
        was_unstable: the rmap_item was in the unstable tree of the pass before.
        pfn: the frame numbers that the pages had, uint32.
        key: of the rmap_items, uint64.
        oldchecksum: before, uint32.
        checksum: the rmap_item's after, uint32.
        node_key: the stable node's after, uint64; 0 without one.
        kpfn: frame number of the KSM page that a page now maps, uint32.
        partners: for the PAIRED ones among the pages, in their order.
    """

    mm: Mm
    first: int
    done: npt.NDArray[np.uint8]
    was_unstable: Mask
    pfn: npt.NDArray[np.uint32]
    key: npt.NDArray[np.uint64]
    oldchecksum: npt.NDArray[np.uint32]
    checksum: npt.NDArray[np.uint32]
    node_key: npt.NDArray[np.uint64]
    kpfn: npt.NDArray[np.uint32]
    partners: Partners


class BulkWatcher(Watcher):
    """A `Watcher` that takes many pages in one call."""

    def examined(self, pages: BulkResult) -> None:
        """Many pages have been examined, and are already as ksmd left them."""
        raise NotImplementedError


def watches_many(watcher: Watcher) -> bool:
    """Whether many pages may be examined at once; a `Watcher` that sees nothing allows it."""
    return type(watcher) is Watcher or isinstance(watcher, BulkWatcher)


def report(watcher: Watcher, pages: BulkResult) -> None:
    """Tell `watcher` of many pages."""
    if isinstance(watcher, BulkWatcher):
        watcher.examined(pages)
