"""Processes and their memory: address spaces, mappings, page frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ksmtrace.engine.machine.content import PageData, PagePool
from ksmtrace.engine.machine.mm_version import MmVersion
from ksmtrace.engine.machine.owners import AnonOwner, FaultWatcher, PageOwner
from ksmtrace.engine.machine.page_table import PageStore, PageTable

if TYPE_CHECKING:
    from ksmtrace.engine.machine.anon_vma import AnonVma

HUGE_PAGES = 512
"""Pages of 4 KiB in a huge page."""

_FIRST_PFN = 0x10000
_FIRST_MM = 0xFFFF888000000000
_MM_SIZE = 0x1000
_FIRST_PID = 1000


class FrozenMappings(Protocol):
    """Counts the entries of frozen blocks that map one frame."""

    @property
    def frozen(self) -> int:
        """How many there are."""
        ...


class Frame:
    """A page frame (struct page).

    Attributes:
        anon: False for the zero page alone.
        data: what it contains; to be changed only right after `faults.writable_page` has given the
            frame.
        ksm: the page is a KSM page (PageKsm).
        stable_node: of a KSM page, the node by which its merging algorithm knows it; None until it
            has one. The kernel keeps both in `mapping`.
        mapped: page table entries that map it, except for those of frozen blocks.
        frozen_mappings: counts those of frozen blocks; None where there can be none.
        references: who else holds it: ksmd while it looks at it, and pins such as O_DIRECT's.
        exclusive: mapped by one process only, which may write without a fault (PageAnonExclusive).
        compound: the huge page that it is a part of.
    """

    __slots__ = (
        *("compound", "data", "exclusive", "frozen_mappings", "ksm", "mapped", "nid", "pfn"),
        *("references", "stable_node"),
    )

    anon: ClassVar[bool] = True

    def __init__(self, pfn: int, data: PageData, nid: int) -> None:
        self.pfn = pfn
        self.data = data
        self.nid = nid
        self.ksm = False
        self.stable_node: Any = None
        self.mapped = 0
        self.frozen_mappings: FrozenMappings | None = None
        self.references = 0
        self.exclusive = True
        self.compound: Compound | None = None

    @property
    def mapcount(self) -> int:
        """Page table entries that map it."""
        frozen = self.frozen_mappings
        return self.mapped if frozen is None else self.mapped + frozen.frozen

    @property
    def allocated(self) -> bool:
        """Whether anything still refers to the page; else it has been freed."""
        return self.mapped > 0 or self.references > 0 or self.mapcount > 0


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
    """A private anonymous mapping: the pages `start` to `end` - 1 (struct vm_area_struct).

    Attributes:
        anon_vma: that of pages that faults give it; None before the first, and where the machine
            keeps none.
        chain: all that it is linked into (anon_vma_chain).
        nid: NUMA node of the pages to come (mbind with MPOL_BIND).
    """

    __slots__ = ("anon_vma", "chain", "end", "huge", "mergeable", "nid", "region", "start")

    def __init__(
        self, start: int, end: int, region: str, *, mergeable: bool = False, huge: bool = False
    ) -> None:
        self.start = start
        self.end = end
        self.region = region
        self.mergeable = mergeable
        self.huge = huge
        self.anon_vma: AnonVma | None = None
        self.chain: list[AnonVma] = []
        self.nid = 0

    def part(self, start: int, end: int) -> Vma:
        """A mapping like this one, of other pages."""
        made = Vma(start, end, self.region, mergeable=self.mergeable, huge=self.huge)
        made.nid = self.nid
        return made


class Mm:
    """An address space (struct mm_struct).

    Attributes:
        key: in place of the address of the struct.
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

    def __init__(self, key: int, pid: int, comm: str, store: PageStore | None = None) -> None:
        self.key = key
        self.pid = pid
        self.comm = comm
        self.vmas: list[Vma] = []
        self.ptes = PageTable(self, store)
        self.ksm_zero: set[int] = set()
        self.tables: set[int] = set()
        self.huge_zero: set[int] = set()
        self.slot: Any = None
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


class Memory:
    """All processes, and the page frames that they use.

    Args:
        version: how this kernel's memory management works.
        pool: makes the contents of pages.
        watcher: sees faults at KSM pages.

    Attributes:
        mms: processes alive, in the order of their making.
        ksm_zero_pages: zero pages placed by KSM that are still mapped.
        cow_ksm: KSM pages copied by do_wp_page (/proc/vmstat).
        node_of_next_page: NUMA node from which the next frame comes.
        binds: whether mappings say from which node their frames come.
        owner: follows every page; None without one.
        anon_owner: follows faults on anonymous memory; None without one.
        store: keeps frozen blocks of all page tables; None when there are none.
    """

    def __init__(self, version: MmVersion, pool: PagePool, watcher: FaultWatcher) -> None:
        self.version = version
        self.pool = pool
        self.watcher = watcher
        self.mms: list[Mm] = []
        self.ksm_zero_pages = 0
        self.cow_ksm = 0
        self.node_of_next_page = 0
        self.binds = False
        self.owner: PageOwner | None = None
        self.anon_owner: AnonOwner | None = None
        self.store: PageStore | None = None
        self.zero_page = ZeroPage(1, pool.zero, 0)
        self._made_mms = 0
        self._made_frames = 0

    def new_mm(self, comm: str) -> Mm:
        """A process without memory."""
        key = _FIRST_MM + self._made_mms * _MM_SIZE
        mm = Mm(key, _FIRST_PID + self._made_mms, comm, self.store)
        self._made_mms += 1
        self.mms.append(mm)
        return mm

    def choose_node(self, mm: Mm, vpn: int) -> None:
        """The next frame is for page `vpn` (the policy of its mapping: get_vma_policy)."""
        vma = mm.vma_at(vpn)
        self.node_of_next_page = 0 if vma is None else vma.nid

    def new_frame(self, data: PageData) -> Frame:
        """A page frame that nobody maps yet."""
        self._made_frames += 1
        return Frame(_FIRST_PFN + self._made_frames, data, self.node_of_next_page)

    def new_frames(self, count: int) -> int:
        """Take `count` frame numbers for frames of which no objects are made; the first of them."""
        first = _FIRST_PFN + self._made_frames + 1
        self._made_frames += count
        return first

    def map_frame(self, mm: Mm, vpn: int, frame: Frame) -> None:
        """Make page `vpn` of `mm` an entry for `frame`, in place of what was there."""
        self.unmap_frame(mm, vpn)
        mm.ptes[vpn] = frame
        frame.mapped += 1
        if self.owner is not None:
            self.owner.page_mapped(frame, mm, vpn)

    def replace_frame(self, mm: Mm, vpn: int, frame: Frame) -> None:
        """As `map_frame` where a private page was, without `page_mapped`: the owner calls it."""
        replaced = mm.ptes[vpn]
        mm.ptes[vpn] = frame
        replaced.mapped -= 1
        frame.mapped += 1

    def mark_ksm_zero_page(self, mm: Mm, vpn: int) -> None:
        """The entry of page `vpn`, for the zero page, is KSM's own: marked so from 6.6 on."""
        if self.version.counts_zero_pages:
            mm.ksm_zero.add(vpn)
            self.ksm_zero_pages += 1

    def unmap_frame(self, mm: Mm, vpn: int) -> None:
        """Clear the entry of page `vpn`, if there is one (ksm_might_unmap_zero_page, 6.6)."""
        frame = mm.ptes.pop(vpn)
        if frame is None:
            return
        frame.mapped -= 1
        if self.owner is not None:
            self.owner.page_unmapped(frame, mm, vpn)
        if self.anon_owner is not None and frame.anon and not frame.allocated:
            self.anon_owner.page_freed(frame)
        if vpn in mm.ksm_zero:
            mm.ksm_zero.remove(vpn)
            self.ksm_zero_pages -= 1

    def put_page(self, frame: Frame) -> None:
        """Let go of a reference to a page."""
        frame.references -= 1
        if self.anon_owner is not None and not frame.allocated:
            self.anon_owner.page_freed(frame)
