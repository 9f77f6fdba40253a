"""Processes and their memory: address spaces, mappings, page table entries, page frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from ksmtrace.engine.ksm.rmap_item import Tree
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.content import PageData, PagePool
from ksmtrace.engine.machine.page_table import BLOCK_SHIFT, Block, PageTable

if TYPE_CHECKING:
    from ksmtrace.engine.bulk.columns import Columns
    from ksmtrace.engine.ksm.mm_slot import MmSlot
    from ksmtrace.engine.ksm.scan import Cursor
    from ksmtrace.engine.ksm.stable_node import StableNode
    from ksmtrace.engine.ksm.variant import Variant

HUGE_PAGES = 512
"""Pages of 4 KiB in a huge page."""

_FIRST_PFN = 0x10000
_FIRST_MM = 0xFFFF888000000000
_MM_SIZE = 0x1000
_FIRST_PID = 1000


class Frame:
    """A page frame (struct page).

    Attributes:
        anon: False for the zero page alone.
        data: what it contains; to be changed only right after `fault.writable_page` has given the frame.
        ksm: the page is a KSM page; `stable_node` is None until it is in the stable tree (PageKsm).
        mapped: page table entries that map it, but for frozen ones.
        references: who else holds it: ksmd while it looks at it, and pins such as O_DIRECT's.
        exclusive: mapped by one process only, which may write without a fault (PageAnonExclusive).
        compound: the huge page that it is a part of.
    """

    __slots__ = (
        *("compound", "data", "exclusive", "ksm", "mapped", "nid", "pfn"),
        *("references", "stable_node"),
    )

    anon: ClassVar[bool] = True

    def __init__(self, pfn: int, data: PageData, nid: int) -> None:
        self.pfn = pfn
        self.data = data
        self.nid = nid
        self.ksm = False
        self.stable_node: StableNode | None = None
        self.mapped = 0
        self.references = 0
        self.exclusive = True
        self.compound: Compound | None = None

    @property
    def mapcount(self) -> int:
        """Page table entries that map it."""
        return self.mapped if self.stable_node is None else self.mapped + self.stable_node.frozen

    @property
    def allocated(self) -> bool:
        """Whether anything still refers to the page; else it has been freed."""
        return self.mapcount > 0 or self.references > 0


class ZeroPage(Frame):
    """The shared zero page."""

    __slots__ = ()

    anon = False


class Compound:
    """A huge page: 512 frames, all mapped at the same addresses wherever they are mapped."""

    __slots__ = ("frames", "vpn")

    def __init__(self, vpn: int, frames: list[Frame]) -> None:
        self.vpn = vpn
        self.frames = frames


class Vma:
    """A private anonymous mapping: the pages `start` to `end` - 1 (struct vm_area_struct)."""

    __slots__ = ("end", "huge", "mergeable", "region", "start")

    def __init__(
        self, start: int, end: int, region: str, *, mergeable: bool = False, huge: bool = False
    ) -> None:
        self.start = start
        self.end = end
        self.region = region
        self.mergeable = mergeable
        self.huge = huge

    def part(self, start: int, end: int) -> Vma:
        """A mapping like this one, of other pages."""
        return Vma(start, end, self.region, mergeable=self.mergeable, huge=self.huge)


class Mm:
    """An address space (struct mm_struct).

    Attributes:
        key: stands for the address of the struct.
        vmas: mappings by address.
        ptes: page number to frame, for present pages only.
        ksm_zero: page numbers whose entry is a KSM-placed zero page (a dirty bit in the kernel).
        tables: 2 MiB blocks of huge mappings that are mapped by single entries.
        huge_zero: 2 MiB blocks that map the huge zero page.
        slot: its place in ksmd's list, while registered (MMF_VM_MERGEABLE).
        merge_any: PR_SET_MEMORY_MERGE is on (MMF_VM_MERGE_ANY).
        exited: mm_users has become 0.
    """

    __slots__ = (
        *("comm", "exited", "huge_zero", "key", "ksm_merging_pages", "ksm_rmap_items"),
        *("ksm_zero", "merge_any", "pid", "ptes", "slot", "tables", "vmas"),
    )

    def __init__(self, key: int, pid: int, comm: str, columns: Columns | None = None) -> None:
        self.key = key
        self.pid = pid
        self.comm = comm
        self.vmas: list[Vma] = []
        self.ptes = PageTable(self, columns)
        self.ksm_zero: set[int] = set()
        self.tables: set[int] = set()
        self.huge_zero: set[int] = set()
        self.slot: MmSlot | None = None
        self.merge_any = False
        self.exited = False
        self.ksm_merging_pages = 0
        self.ksm_rmap_items = 0

    def vma_at(self, vpn: int) -> Vma | None:
        """The mapping that holds page `vpn` (vma_lookup)."""
        for vma in self.vmas:
            if vma.start <= vpn < vma.end:
                return vma
        return None


class PageOwner(Protocol):
    """Somebody who keeps account of every anonymous page."""

    def page_mapped(self, page: Frame, mm: Mm, vpn: int) -> None:
        """The entry of page number `vpn` maps `page` now."""
        ...

    def page_unmapped(self, page: Frame, mm: Mm, vpn: int) -> None:
        """The entry of page number `vpn`, which mapped `page`, is gone."""
        ...


class Memory:
    """All processes, and the page frames that they use.

    Attributes:
        mms: processes alive, in the order of their making.
        ksm_zero_pages: zero pages placed by KSM that are still mapped.
        cow_ksm: KSM pages copied by do_wp_page (/proc/vmstat).
        node_of_next_page: NUMA node from which the next frame comes.
        owner: told of entries that come and go; forks excepted.
        scan: where ksmd stands; None without one.
        changed: a page in the unstable tree has been written to, unmapped or put out of ksmd's reach since this was last set to
            False. Unless that happened, the tree is in order.
        freed_ksm_pages: KSM pages that nobody maps any more, and whose stable nodes ksmd has not removed yet.
        columns: pages of which there are no objects; None in the plain mode.
    """

    def __init__(self, variant: Variant, watcher: Watcher) -> None:
        self.variant = variant
        self.watcher = watcher
        self.pool = PagePool(variant.checksum)
        self.mms: list[Mm] = []
        self.ksm_zero_pages = 0
        self.cow_ksm = 0
        self.node_of_next_page = 0
        self.owner: PageOwner | None = None
        self.scan: Cursor | None = None
        self.changed = False
        self.freed_ksm_pages: set[Frame] = set()
        self._made_mms = 0
        self._made_frames = 0
        self.columns: Columns | None = None
        self.zero_page = ZeroPage(1, self.pool.zero, 0)

    def new_mm(self, comm: str) -> Mm:
        """A process without memory."""
        key = _FIRST_MM + self._made_mms * _MM_SIZE
        mm = Mm(key, _FIRST_PID + self._made_mms, comm, self.columns)
        self._made_mms += 1
        self.mms.append(mm)
        return mm

    def new_frame(self, data: PageData) -> Frame:
        """A page frame that nobody maps yet."""
        self._made_frames += 1
        return Frame(_FIRST_PFN + self._made_frames, data, self.node_of_next_page)

    def new_frames(self, count: int) -> int:
        """Take `count` frame numbers for frames of which no objects are made; the first of them."""
        first = _FIRST_PFN + self._made_frames + 1
        self._made_frames += count
        return first

    def has_items(self, block: Block, low: int, high: int) -> bool:
        """Whether pages `low` to `high` - 1 of a frozen block have rmap_items."""
        assert self.columns is not None, "the plain mode freezes nothing"
        first = block.number << BLOCK_SHIFT
        return bool(self.columns.key[first + low : first + high].any())

    def in_unstable_tree(self, mm: Mm, vpn: int) -> bool:
        """Whether the rmap_item of page `vpn` is in the unstable tree of the pass under way."""
        item = mm.ptes.item(vpn)
        if self.scan is None or item is None or item.tree is not Tree.UNSTABLE:
            return False
        return item.seqnr == self.scan.seqnr & 0xFF

    def map_frame(self, mm: Mm, vpn: int, frame: Frame) -> None:
        """Make page `vpn` of `mm` an entry for `frame`, in place of what was there."""
        self.unmap_frame(mm, vpn)
        mm.ptes[vpn] = frame
        frame.mapped += 1
        if self.owner is not None and frame.anon:
            self.owner.page_mapped(frame, mm, vpn)

    def map_ksm_zero_page(self, mm: Mm, vpn: int) -> None:
        """Make page `vpn` an entry for the zero page, marked as KSM's own from 6.6 on."""
        self.map_frame(mm, vpn, self.zero_page)
        if self.variant.counts_zero_pages:
            mm.ksm_zero.add(vpn)
            self.ksm_zero_pages += 1

    def unmap_frame(self, mm: Mm, vpn: int) -> None:
        """Clear the entry of page `vpn`, if there is one (ksm_might_unmap_zero_page, 6.6)."""
        frame = mm.ptes.pop(vpn)
        if frame is None:
            return
        self.changed = self.changed or self.in_unstable_tree(mm, vpn)
        frame.mapped -= 1
        if frame.stable_node is not None and not frame.mapcount:
            self.freed_ksm_pages.add(frame)
        if self.owner is not None and frame.anon:
            self.owner.page_unmapped(frame, mm, vpn)
        if vpn in mm.ksm_zero:
            mm.ksm_zero.remove(vpn)
            self.ksm_zero_pages -= 1
