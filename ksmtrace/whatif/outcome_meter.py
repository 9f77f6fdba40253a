"""Measures the outcome of a scenario on the engine: savings, costs, gauges, of any variant."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ksmtrace.engine.ksm.counters import RMAP_ITEM_SIZE
from ksmtrace.engine.ksm.ksmd import KsmScanner
from ksmtrace.engine.ksm.watcher import Node, Tracked, Watcher
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.whatif.scenario import Point

if TYPE_CHECKING:
    from ksmtrace.engine.engine import Engine
    from ksmtrace.engine.machine.memory import Frame, Mm


_STABLE_NODE_SIZE = 64
"""Bytes of a struct stable_node on 64-bit machines."""


class OutcomeMeter(Watcher):
    """Counts what the engine does not: writes to merged pages, stable nodes, zero pages placed.

    Kernels before 6.6 do not count the zero pages that they place; here an entry counts until it
    maps another page.
    """

    def __init__(self) -> None:
        self.cow_breaks = 0
        self._nodes: set[int] = set()
        self._zero: dict[tuple[int, int], Mm] = {}

    def appended(self, _item: Tracked, node: Node) -> None:
        """A stable node that has rmap_items exists."""
        self._nodes.add(node.key)

    def stable_node_removed(self, node: Node) -> None:
        """It is gone."""
        self._nodes.discard(node.key)

    def cow_fault(
        self,
        _mm: Mm,
        _vpn: int,
        _page: Frame,
        *,
        by_kernel: bool,
        result: int,  # noqa: ARG002
    ) -> None:
        """Count writes of processes."""
        self.cow_breaks += not by_kernel

    def merged_one(
        self,
        item: Tracked,
        _page: Frame,
        kpage: Frame | None,
        err: int,
        *,
        was_compound: bool = False,  # noqa: ARG002
    ) -> None:
        """Note entries that now map the zero page."""
        if err == 0 and kpage is not None and not kpage.anon:
            self._zero[item.mm.key, item.vpn] = item.mm

    def read(self, engine: Engine, passes: int, batches: int) -> Point:
        """The figures of the run at this moment."""
        scanner = engine.scanner
        counters = engine.counters()
        zero = self._zero_pages(engine)
        return Point(
            passes=passes,
            batches=batches,
            saved_bytes=_saved_pages(engine, zero) * PAGE_SIZE,
            pages_shared=counters["pages_shared"],
            pages_sharing=counters["pages_sharing"],
            pages_unshared=counters["pages_unshared"],
            pages_volatile=counters["pages_volatile"],
            zero_pages=zero,
            pages_scanned=scanner.pages_scanned,
            comparisons=scanner.comparisons,
            cow_breaks=self.cow_breaks,
            metadata_bytes=self._metadata_bytes(engine),
        )

    def _zero_pages(self, engine: Engine) -> int:
        memory = engine.memory
        if engine.variant.counts_zero_pages:
            return memory.ksm_zero_pages
        gone = [at for at, mm in self._zero.items() if mm.ptes.get(at[1]) is not memory.zero_page]
        for at in gone:
            del self._zero[at]
        return len(self._zero)

    def _metadata_bytes(self, engine: Engine) -> int:
        scanner = engine.scanner
        if isinstance(scanner, KsmScanner):
            counters = scanner.ksm.counters
            nodes = len(self._nodes) + counters.stable_node_chains
            return counters.rmap_items * RMAP_ITEM_SIZE + nodes * _STABLE_NODE_SIZE
        return scanner.metadata_bytes


def since(point: Point, start: Point) -> Point:
    """`point` with its costs counted from `start` on."""
    return replace(
        point,
        passes=point.passes - start.passes,
        batches=point.batches - start.batches,
        pages_scanned=point.pages_scanned - start.pages_scanned,
        comparisons=_less(point.comparisons, start.comparisons),
        cow_breaks=point.cow_breaks - start.cow_breaks,
    )


def _less(count: int | None, start: int | None) -> int | None:
    return None if count is None or start is None else count - start


def _saved_pages(engine: Engine, zero: int) -> int:
    # A relative's own counters may lag behind what is mapped.
    scanner = engine.scanner
    if isinstance(scanner, KsmScanner):
        return scanner.ksm.counters.pages_sharing + zero
    return scanner.saved_pages
