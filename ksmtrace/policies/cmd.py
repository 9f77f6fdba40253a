"""CMD: KSM with trees for each class of pages, made of what is written to them (VEE'14).

"CMD: Classification-based Memory Deduplication through Page Access Characteristics", Chen et al.,
VEE 2014. A page is compared within its class alone, in which it is likelier to find an equal one.
The paper counts writes by hardware, of physical pages and their four subpages of 1 KiB. Here the
engine tells which bytes a step of a workload writes; docs/ENGINE.md says what that leaves out.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace

from ksmtrace.engine.ksm.ksmd import KsmScanner
from ksmtrace.engine.ksm.stable_tree import remove_all_stable_nodes
from ksmtrace.engine.ksm.state import Ksm
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.engine.variants import KERNELS
from ksmtrace.events import EventKind
from ksmtrace.session import Knowledge

CLASSES = 16
"""How many pairs of trees there are."""

LINE, SUBPAGE, SUBPAGES = 64, 1024, 4
"""Bytes of a cache line and of a subpage, and how many of those a page has."""

Lines = tuple[int, int, int, int]
"""Cache lines written, by subpage; one that is written twice counts twice."""

_NONE: Lines = (0, 0, 0, 0)
_LEAST_SWEEP = 1024
_MOST_PASSES = 2**32 - 1


def class_by_subpages(lines: Lines, _pfn: int) -> int:
    """A bit for each subpage that has had more than its quarter of the writes."""
    return sum(1 << number for number, count in enumerate(lines) if SUBPAGES * count > sum(lines))


def class_by_writes(lines: Lines, _pfn: int) -> int:
    """The number of bits of the number of writes: 0 without any, then 1, 2 to 3, 4 to 7, ..."""
    return min(sum(lines).bit_length(), CLASSES - 1)


def class_by_address(_lines: Lines, pfn: int) -> int:
    """One that nothing decides except the page frame: where frames lie by chance, chance.

    Frames of the engine lie in order; the number is multiplied (by 2^32 over the golden ratio) so
    that neighbours are apart.
    """
    return (pfn * 0x9E3779B9 & 0xFFFFFFFF) >> 28


def one_class(_lines: Lines, _pfn: int) -> int:
    """The same for all pages, which is KSM."""
    return 0


CLASSIFY: dict[str, Callable[[Lines, int], int]] = {
    "subpages": class_by_subpages,
    "writes": class_by_writes,
    "address": class_by_address,
    "none": one_class,
}
"""Ways to classify a page, by cache lines written and page frame number; the default first."""

TUNABLES: dict[str, int | str] = {"classify": "subpages", "count_passes": 0}
"""classify: the way. count_passes: how many passes a count of writes takes, after which the page
has the class of that count and the next count begins; with 0 there is one, as long as the page
lives, and the class is that of the count so far. Writing it begins all counts."""


class Writes:
    """Writes of processes to one page frame."""

    __slots__ = ("before", "now", "period")

    def __init__(self) -> None:
        self.period = 0
        self.now = self.before = _NONE

    def turn(self, period: int) -> None:
        """`period` is under way; the one before it, if it was another, is over."""
        if period != self.period:
            self.before = self.now if period == self.period + 1 else _NONE
            self.now = _NONE
            self.period = period

    def add(self, lines: Lines) -> None:
        """More lines have been written."""
        a, b, c, d = self.now
        self.now = (a + lines[0], b + lines[1], c + lines[2], d + lines[3])


class ClassedKsm(Ksm):
    """KSM's state with trees by class, in the place of trees by NUMA node.

    Attributes:
        classify: a key of `CLASSIFY`.
        count_passes: as in `TUNABLES`.
        passes: begun.
        writes: by page frame number; of pages that nobody has written to nothing is kept.
    """

    __slots__ = ("_sweep_at", "classify", "count_passes", "passes", "writes")

    def __init__(self, variant: Variant, watcher: Watcher) -> None:
        super().__init__(variant, nodes=CLASSES, watcher=watcher)
        self.classify = "subpages"
        self.count_passes = 0
        self.passes = 0
        self.writes: dict[int, Writes] = {}
        self._sweep_at = _LEAST_SWEEP

    @property
    def period(self) -> int:
        """The number of the count of writes that is under way."""
        return self.passes // self.count_passes if self.count_passes else 0

    def nid_of(self, page: Frame) -> int:
        """The class of `page`; of a KSM page, which nobody writes to, the one it was merged in."""
        if page.stable_node is not None:
            nid: int = page.stable_node.nid
            return nid
        writes, lines = self.writes.get(page.pfn), _NONE
        if writes is not None:
            writes.turn(self.period)
            lines = writes.before if self.count_passes else writes.now
        return CLASSIFY[self.classify](lines, page.pfn)

    def count_anew(self, passes: int) -> None:
        """From here on a count takes so many passes; nothing has been counted yet."""
        self.count_passes = passes
        self.passes = 0
        self.writes.clear()

    def forget_freed(self) -> None:
        """Keep nothing of page frames that nobody maps any more, if there may be many of them."""
        if len(self.writes) < self._sweep_at:
            return
        mapped = {page.pfn for mm in self.memory.mms for page in mm.ptes.values()}
        self.writes = {pfn: writes for pfn, writes in self.writes.items() if pfn in mapped}
        self._sweep_at = max(_LEAST_SWEEP, 2 * len(self.writes))


class CmdScanner(KsmScanner):
    """KSM with classes: counts writes, and begins counts anew with passes."""

    ksm: ClassedKsm

    def __init__(self, ksm: ClassedKsm) -> None:
        super().__init__(ksm)

    @property
    def shown_tunables(self) -> dict[str, str]:
        """KSM's, and those of the classes."""
        own = {"classify": self.ksm.classify, "count_passes": str(self.ksm.count_passes)}
        return super().shown_tunables | own

    def scan_batch(self) -> None:
        """As KSM; a batch that begins a pass may begin a count."""
        ksm = self.ksm
        if ksm.scan.slot is ksm.mm_head and self.tunables["pages_to_scan"]:
            ksm.passes += 1
            ksm.forget_freed()
        super().scan_batch()

    def written(self, mm: Mm, first: int, end: int, offset: int, length: int) -> None:
        """Count the cache lines, of the pages that are there after the write."""
        lines = lines_of(offset, length)
        for vpn in range(first, end):
            writes = self.ksm.writes.setdefault(mm.ptes[vpn].pfn, Writes())
            writes.turn(self.ksm.period)
            writes.add(lines)

    def write_tunable(self, name: str, value: int | str) -> None:
        """Write a file; classify is refused (EBUSY) while pages are shared."""
        if name not in TUNABLES:
            super().write_tunable(name, value)
            return
        check_tunable(name, value)
        if name == "count_passes":
            self.ksm.count_anew(int(value))
        elif value != self.ksm.classify:
            if self.ksm.counters.pages_shared or not remove_all_stable_nodes(self.ksm):
                raise OSError(errno.EBUSY, f"EBUSY on writing {value} to {name}")
            self.ksm.classify = str(value)


def lines_of(offset: int, length: int) -> Lines:
    """Cache lines of each subpage that `length` bytes from `offset` on lie in."""
    first, end = offset // LINE, -(-(offset + length) // LINE)
    bounds = range(0, SUBPAGES * SUBPAGE // LINE, SUBPAGE // LINE)
    a, b, c, d = (max(0, min(end, low + SUBPAGE // LINE) - max(first, low)) for low in bounds)
    return a, b, c, d


def check_tunable(name: str, value: int | str) -> None:
    """OSError (EINVAL) for a value that a file of `TUNABLES` refuses."""
    text = str(value)
    number = text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _MOST_PASSES
    if not (number if name == "count_passes" else value in CLASSIFY):
        raise OSError(errno.EINVAL, f"EINVAL on writing {text[:60]} to {name}")


def _on(kernel: str, name: str) -> Variant:
    base = KERNELS[kernel]
    note = "pages are compared within their class alone, of which records tell nothing"
    notes = {**base.visibility.notes, EventKind.CMP_AND_MERGE_PAGE: note}
    return replace(
        base,
        name=name,
        make=lambda variant, _nodes, watcher: CmdScanner(ClassedKsm(variant, watcher)),
        absent_tunables=base.absent_tunables | {"merge_across_nodes"},
        own_tunables=TUNABLES,
        check_own_tunable=check_tunable,
        visibility=replace(base.visibility, notes=notes, lacks=frozenset({Knowledge.ONE_TREE})),
    )


VARIANT = _on("ksm-4.4", "cmd")
"""CMD on a KSM of the paper's time, which searches the stable tree also for a changed page."""

VARIANT_7_2 = _on("ksm-7.2", "cmd-7.2")
"""CMD on the newest KSM."""
