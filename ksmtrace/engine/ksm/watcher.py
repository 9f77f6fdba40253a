"""What an observer of the engine can see: the places at which the live tracer has its probes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.rmap_item import Tree
    from ksmtrace.engine.machine.memory import Frame, Mm


class Node(Protocol):
    """What an observer reads of a stable node: KSM's, or what its relatives have instead."""

    @property
    def key(self) -> int:
        """In place of the address of the struct."""
        ...

    @property
    def kpfn(self) -> int:
        """Frame number of its page."""
        ...

    @property
    def is_new(self) -> bool:
        """Whether nobody shares its page yet."""
        ...


class Tracked(Protocol):
    """What an observer reads of an rmap_item: KSM's, or what its relatives have instead."""

    @property
    def key(self) -> int:
        """In place of the address of the struct; 0 where there is none."""
        ...

    @property
    def mm(self) -> Mm:
        """The process."""
        ...

    @property
    def vpn(self) -> int:
        """Number of the page."""
        ...

    @property
    def oldchecksum(self) -> int:
        """The page's checksum at the last look."""
        ...

    @property
    def tree(self) -> Tree:
        """Where the rmap_item is."""
        ...

    @property
    def head(self) -> Node | None:
        """Its stable node, while in the stable tree."""
        ...


class Watcher:
    """Sees nothing; `ksmtrace.engine.trace.emitter` overrides every method.

    Each is called where the kernel function of that name is entered, and before it changes
    anything, if not said otherwise.
    """

    def scan_start(self, seqnr: int) -> None:
        """Pass `seqnr` begins."""

    def scan_stop(self, seqnr: int, counters: Mapping[str, int]) -> None:
        """Pass `seqnr` ended; `counters` are the daemon's, by the lower-case names of `Gauge`."""

    def candidate(self, item: Tracked, page: Frame) -> None:
        """cmp_and_merge_page is entered."""

    def candidate_done(self) -> None:
        """cmp_and_merge_page has returned."""

    def skipped(self, item: Tracked) -> None:
        """Smart scan passes over a page."""

    def rmap_item_removed(self, item: Tracked, *, freed: bool) -> None:
        """remove_rmap_item_from_tree; `freed` says that the item itself goes."""

    def merged_one(
        self,
        item: Tracked,
        page: Frame,
        kpage: Frame | None,
        err: int,
        *,
        was_compound: bool = False,
    ) -> None:
        """try_to_merge_one_page has returned `err`; `kpage` may also be the zero page.

        `was_compound` says that `page` was part of a huge page when it was entered.
        """

    def replaced(self, item: Tracked, page: Frame, kpage: Frame) -> None:
        """replace_page has put `kpage` in the place of `page`; called after `merged_one`."""

    def appended(self, item: Tracked, node: Node) -> None:
        """stable_tree_append."""

    def stable_node_removed(self, node: Node) -> None:
        """remove_node_from_stable_tree."""

    def break_cow(self, item: Tracked) -> None:
        """break_cow."""

    def mm_enter(self, mm: Mm) -> None:
        """__ksm_enter."""

    def mm_exit(self, mm: Mm) -> None:
        """__ksm_exit."""

    def cow_fault(self, mm: Mm, vpn: int, page: Frame, *, by_kernel: bool, result: int) -> None:
        """do_wp_page on a KSM page is about to return `result`; `by_kernel`: from break_ksm."""

    def tunable_written(self, name: str, text: str, err: int) -> None:
        """A write to a file of /sys/kernel/mm/ksm has returned `err`."""
