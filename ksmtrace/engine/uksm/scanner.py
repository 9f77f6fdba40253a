"""UKSM as a `Scanner`: uksmd, its files, and the hooks by which it learns of VMAs and writes."""

from __future__ import annotations

import errno

from ksmtrace.engine.ksm.counters import COUNTERS
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.memory import Frame, Mm, Vma
from ksmtrace.engine.uksm.nodes import NODE_VMA_SIZE, STABLE_NODE_SIZE, TREE_NODE_SIZE
from ksmtrace.engine.uksm.quota import calc_scan_pages
from ksmtrace.engine.uksm.scan import uksm_do_scan
from ksmtrace.engine.uksm.slot import RMAP_ITEM_SIZE, SLOT_SIZE
from ksmtrace.engine.uksm.state import Uksm
from ksmtrace.engine.uksm.tunables import DEFAULTS, shown_tunables, store_tunable
from ksmtrace.engine.uksm.vmas import VmaHooks


class UksmScanner:
    """`uksm`, driven from outside.

    A batch is a wake-up of uksmd, a pass a round over all rungs. The file full_scans counts
    something else: see `Uksm.full_scans`.

    Attributes:
        tunables: those of the writable files that hold one number.
    """

    def __init__(self, variant: Variant, watcher: Watcher) -> None:
        self.name = variant.name
        self.uksm = Uksm(variant, watcher, seed=0)
        self.memory = self.uksm.memory
        self.memory.owner = self
        self._hooks = VmaHooks(self.uksm)
        self._in_round = False
        self.tunables: dict[str, int] = {}
        for name, value in DEFAULTS.items():
            self.write_tunable(name, value)
        calc_scan_pages(self.uksm)

    @property
    def shown_tunables(self) -> dict[str, str]:
        """What the writable files show."""
        return shown_tunables(self.uksm)

    @property
    def full_scans(self) -> int:
        """Rounds completed (uksm_eval_round)."""
        return self.uksm.eval_round

    @property
    def pages_scanned(self) -> int:
        """Pages hashed; a visit of a page that is not there, or is a zero page, is none."""
        return self.uksm.pages_scanned

    @property
    def comparisons(self) -> int:
        """Contents of pages compared; of hashes none are counted."""
        return self.uksm.comparisons

    @property
    def saved_pages(self) -> int:
        """Pages that need no memory of their own, by what is mapped."""
        pages = (node.page for node in self.uksm.stable_nodes if node.page.mapcount)
        return self.memory.ksm_zero_pages + sum(page.mapcount - 1 for page in pages)

    @property
    def metadata_bytes(self) -> int:
        """What UKSM keeps: items, nodes, slots, and entries of slots that have been visited."""
        uksm = self.uksm
        slots = {slot for rung in uksm.rungs for slot in rung.slots()}.union(uksm.dead_slots)
        return (
            uksm.items * RMAP_ITEM_SIZE
            + len(uksm.stable_nodes) * STABLE_NODE_SIZE
            + uksm.node_vmas * NODE_VMA_SIZE
            + (len(uksm.stable_tree) + len(uksm.unstable_tree)) * TREE_NODE_SIZE
            + uksm.slots * SLOT_SIZE
            + sum(slot.entries_bytes for slot in slots)
        )

    def has_work(self) -> bool:
        """Whether a slot is scanned, is to be, or is to be destroyed; uksmd itself goes on."""
        uksm = self.uksm
        ready = any(slot.has_anon_vma for slot in uksm.new_slots)
        return ready or bool(uksm.dead_slots) or any(rung.count for rung in uksm.rungs)

    def scan_batch(self) -> None:
        """One wake-up; at most one round ends with it."""
        watcher = self.uksm.watcher
        if not self._in_round:
            watcher.scan_start(self.uksm.eval_round)
            self._in_round = True
        if uksm_do_scan(self.uksm):
            watcher.scan_stop(self.uksm.eval_round - 1, self.readings())
            self._in_round = False

    def mapped(self, mm: Mm, _vma: Vma, /) -> None:
        """A new VMA has a slot, which waits until it is written to."""
        self._hooks.changed(mm)

    def unmapped(self, mm: Mm) -> None:
        """VMAs have gone, or have been cut."""
        self._hooks.changed(mm)

    def written(self, mm: Mm, first: int, end: int, offset: int, length: int) -> None:
        """Nothing: a page's hash tells whether it was written to."""

    def madvise(self, mm: Mm, first: int, end: int, *, mergeable: bool) -> None:
        """MADV_MERGEABLE is ignored."""
        if not mergeable:
            self._hooks.unmergeable(mm, first, end)

    def merge_any(self, mm: Mm, *, on: bool) -> None:
        """Ignored: all memory is scanned."""

    def forked(self, parent: Mm, child: Mm, /) -> None:
        """A slot for each of the child's VMAs; its copies of the zero page count."""
        self._hooks.forked(parent, child)
        self.memory.ksm_zero_pages += len(child.ksm_zero)

    def exiting(self, mm: Mm) -> None:
        """All slots of the process are dead."""
        self._hooks.exiting(mm)

    def page_mapped(self, page: Frame, mm: Mm, _vpn: int, /) -> None:
        """A page that has just been made is in the anon_vma of its process."""
        if page.anon and not page.ksm and page.mapcount == 1:
            page.stable_node = mm

    def page_unmapped(self, page: Frame, mm: Mm, vpn: int) -> None:
        """Nothing: it is found out at the next visit."""

    def page_written(self, mm: Mm, vpn: int) -> None:
        """The writer's slot learns of the copy that a write makes."""
        self._hooks.page_written(mm, vpn)

    def write_tunable(self, name: str, value: int | str) -> None:
        """Write a file; OSError when that is refused."""
        store_tunable(self.uksm, name, value)
        shown = self.shown_tunables.items()
        self.tunables = {name: int(text) for name, text in shown if text.isdecimal()}

    def write_run(self, value: int) -> None:
        """0 and 1 stop and start uksmd; nothing is ever unmerged. OSError (EINVAL) for others."""
        if value not in (0, 1):
            raise OSError(errno.EINVAL, f"EINVAL on writing {value} to run")

    def counters(self) -> dict[str, int | None]:
        """The files of /sys/kernel/mm/uksm; `ksm_zero_pages` is nr_uksm_zero_pages of vmstat."""
        uksm = self.uksm
        return dict.fromkeys(COUNTERS) | {
            "full_scans": uksm.full_scans,
            "pages_scanned": uksm.pages_scanned,
            "pages_shared": uksm.pages_shared,
            "pages_sharing": uksm.pages_sharing,
            "pages_unshared": uksm.pages_unshared,
            "ksm_zero_pages": self.memory.ksm_zero_pages,
        }

    def readings(self) -> dict[str, int]:
        """The counters that there are."""
        return {name: value for name, value in self.counters().items() if value is not None}
