"""PKSM, page-based KSM (mm/pksm.c, out of tree): each new anonymous page is examined once."""

from __future__ import annotations

from itertools import islice

from ksmtrace.engine.ksm.counters import COUNTERS
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.anon_vma import anon_vma_prepare
from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.machine.memory import Frame, Mm, Vma
from ksmtrace.engine.relatives.pksm_item import (
    PKSM_RMAP_ITEM_SIZE,
    STABLE_NODE_ANON_SIZE,
    PksmFlag,
    PksmItem,
    PksmTree,
    Result,
)
from ksmtrace.engine.relatives.pksm_lists import TUNABLES, PksmLists, pages_to_hash
from ksmtrace.engine.relatives.pksm_merge import PksmMerge
from ksmtrace.engine.relatives.relative_scanner import RelativeScanner

_FIRST_KEY = 0xFFFF888100000000


class PksmScanner(RelativeScanner):
    """pksmd, and the hooks by which it learns of pages, as in a vendor's kernel 3.10.

    PKSM knows no passes, and its full_scans is always 0. Here, one ends when all items that were
    on a list at its beginning have been examined.

    Writing 2 to `run` unmerges nothing (run_store).

    Attributes:
        pages_shared: items in the stable tree.
        pages_sharing: entries that were replaced by KSM pages, as PKSM counts them: it lags behind
            writes, and counts for ever what was merged into a page that was then dropped.
        pages_unshared: items in the unstable tree.
        stable_nodes: stable_node_anon alive, one for each page merged and one for each node.
    """

    def __init__(self, variant: Variant, watcher: Watcher) -> None:
        super().__init__(variant, watcher, TUNABLES)
        self.memory.owner = self
        self.memory.anon_owner = self
        self.pages_shared = 0
        self.pages_sharing = 0
        self.pages_unshared = 0
        self.stable_nodes = 0
        self.stable = PksmTree(self._remove_from_tree)
        self.unstable = PksmTree(self._remove_from_tree)
        self._merge = PksmMerge(self.memory, watcher, self._add_sharing)
        self._items: dict[Frame, PksmItem] = {}
        self._lists = PksmLists()
        self._deleted: list[PksmItem] = []
        self._checksum_list: dict[PksmItem, None] = {}
        self._pass_end: int | None = None
        self._made = 0

    @property
    def comparisons(self) -> int:
        """Hashes and contents compared."""
        return self.stable.comparisons + self.unstable.comparisons + self._merge.comparisons

    @property
    def rmap_items(self) -> int:
        """Items alive, those on the delete list included."""
        return len(self._items) + len(self._deleted)

    @property
    def saved_pages(self) -> int:
        """Entries beyond the first of each KSM page, and zero pages placed."""
        return self._mapped_beyond_first() + self.memory.ksm_zero_pages

    @property
    def metadata_bytes(self) -> int:
        """Items and stable_node_anons; not the pointer that every struct page has for its item."""
        return self.rmap_items * PKSM_RMAP_ITEM_SIZE + self.stable_nodes * STABLE_NODE_ANON_SIZE

    def anon_fault(self, page: Frame, mm: Mm, vma: Vma, vpn: int) -> None:
        """A new page is put on the list of new ones; no other kind of fault makes an item.

        pksm_add_new_anon_page, called by do_anonymous_page alone.
        """
        self._made += 1
        key = _FIRST_KEY + self._made * PKSM_RMAP_ITEM_SIZE
        item = self._items[page] = PksmItem(key, page, mm, vpn, anon_vma_prepare(vma, mm))
        self._lists.enter(item, PksmFlag.NEWLIST)

    def write_fault(self, page: Frame, mm: Mm, vma: Vma, *, taken_over: bool) -> None:
        """A page that is taken over belongs to its writer's mapping (page_move_anon_rmap)."""
        anon_vma = anon_vma_prepare(vma, mm)
        item = self._items.get(page)
        if item is not None and taken_over:
            item.anon_vma = anon_vma

    def page_mapped(self, page: Frame, mm: Mm, vpn: int, /) -> None:
        """Nothing: only new pages become items."""

    def page_unmapped(self, page: Frame, _mm: Mm, _vpn: int, /) -> None:
        """An entry that mapped a KSM page is gone: it counts less, unless forks had added to it.

        pksm_unmap_sharing_page, called before the entry is taken off the page's mapcount.
        """
        item = self._items.get(page) if page.ksm else None
        if item is not None and page.mapcount + 1 <= item.mapcount:
            item.mapcount -= 1
            self.pages_sharing -= 1

    def page_freed(self, page: Frame) -> None:
        """A page is gone, and its item with it or at the end of the batch (pksm_del_anon_page)."""
        self._merge.ksm_pages.discard(page)
        item = self._items.pop(page, None)
        if item is None:
            return
        self.pages_sharing -= item.mapcount
        item.mapcount = 0
        item.page = None
        if self._lists.leave(item):
            self._free(item)
        else:
            item.flags |= PksmFlag.DELLIST
            self._deleted.append(item)

    def page_written(self, _mm: Mm, _vpn: int, /) -> None:
        """Nothing: what has changed is found by its hash."""

    def scan_batch(self) -> None:
        """Examine items, free deleted ones, hash a part of the unstable tree again.

        ksm_do_scan.
        """
        if self._pass_end is None:
            self._pass_end = self._lists.entered
            self.watcher.scan_start(self._passes)
        for item in self._lists.take(self.tunables["pages_to_scan"]):
            self._examine(item)
        for item in reversed(self._deleted):
            self._free(item)
        self._deleted.clear()
        self._update_unstable_checksums()
        # What was on a list as the pass began may have gone unseen.
        if self._lists.seen_before(self._pass_end):
            self._pass_end = None
            self._passes += 1
            self.watcher.scan_stop(self._passes - 1, self.readings())

    def counters(self) -> dict[str, int | None]:
        """The files of /sys/kernel/mm/pksm; `ksm_zero_pages` is its pages_zero_sharing."""
        zero = self.memory.ksm_zero_pages
        return dict.fromkeys(COUNTERS) | {
            "full_scans": 0,
            "pages_shared": self.pages_shared,
            "pages_sharing": self.pages_sharing + zero,
            "pages_unshared": self.pages_unshared,
            "ksm_zero_pages": zero,
            "stable_nodes": self.stable_nodes,
            "rmap_items": self.rmap_items,
        }

    def readings(self) -> dict[str, int]:
        """Counters as KSM means them: KSM pages mapped, and entries beyond the first of each."""
        return {
            "pages_shared": sum(page.mapcount > 0 for page in self._merge.ksm_pages),
            "pages_sharing": self._mapped_beyond_first(),
            "pages_unshared": self.pages_unshared,
            "ksm_zero_pages": self.memory.ksm_zero_pages,
            "general_profit": self.saved_pages * PAGE_SIZE - self.metadata_bytes,
        }

    def _examine(self, item: PksmItem) -> None:
        page = item.page
        if page is None:
            return
        if page.references:  # check_page_dio
            self._examine_later(item)
            return
        self._scanned += 1
        page.references += 1
        self.watcher.candidate(item, page)
        result = self._cmp_and_merge_page(item, page)
        self.watcher.candidate_done()
        if result is Result.TRY:
            self._examine_later(item)
        elif result is Result.DROP:
            # pksm_drop_rmap_item: the page is nobody's, and what it counts as sharing stays.
            del self._items[page]
            self._free(item)
        self.memory.put_page(page)

    def _examine_later(self, item: PksmItem) -> None:
        item.flags |= PksmFlag.INITCHECKSUM
        self._lists.enter(item, PksmFlag.RESCAN_LIST)

    def _cmp_and_merge_page(self, item: PksmItem, page: Frame) -> Result:
        # Zero page, then stable tree, then unstable tree; no wait for a second look.
        if page.ksm or PksmFlag.STABLE in item.flags:
            return Result.DROP
        self._remove_from_tree(item)
        if PksmFlag.INITCHECKSUM in item.flags:
            item.flags &= ~PksmFlag.INITCHECKSUM
            item.oldchecksum = self._hash(page)
        # cmp_and_merge_zero_page: a success is final, whether or not the page is empty.
        empty = item.oldchecksum == self._hash(self.memory.zero_page)
        if empty and self._merge.merge_zero_page(item, page) is Result.SUCCESS:
            return Result.SUCCESS
        node = self.stable.search(item.oldchecksum)
        if node is not None:
            result = self._merge.merge(item, page, node)
            if result is Result.SUCCESS:
                self._append(item, page, node)
            return result
        tree_item = self.unstable.search_insert(item)
        if tree_item is not None:
            return self._merge_two(item, page, tree_item)
        item.flags |= PksmFlag.UNSTABLE
        self.pages_unshared += 1
        self._checksum_list[item] = None
        return Result.SUCCESS

    def _merge_two(self, item: PksmItem, page: Frame, tree_item: PksmItem) -> Result:
        # try_to_merge_two_pages: the page under examination becomes the KSM page. There is no way
        # back: when the second half fails it stays one, outside the stable tree.
        tree_page = tree_item.page
        assert tree_page is not None, "the search passes over items without a page"
        tree_page.references += 1
        result = self._merge.upgrade(item, page)
        if result is Result.SUCCESS:
            result = self._merge.merge(tree_item, tree_page, item)
        if result is Result.SUCCESS:
            self._remove_from_tree(tree_item)
            self.stable.search_insert(item)
            self.watcher.appended(item, item)
            item.flags |= PksmFlag.STABLE
            self.pages_shared += 1
            self._count_anon_node(item)
            self._append(tree_item, tree_page, item)
        self.memory.put_page(tree_page)
        return result

    def _append(self, item: PksmItem, page: Frame, node: PksmItem) -> None:
        # stable_tree_append: once for each page, also when a collision replaced nothing.
        self.watcher.appended(item, node)
        self._count_anon_node(node)
        if not page.mapcount:
            item.node = node

    def _count_anon_node(self, node: PksmItem) -> None:
        node.anon_nodes += 1
        self.stable_nodes += 1

    def _add_sharing(self, node: PksmItem) -> None:
        # pksm_add_sharing_page_counter
        node.mapcount += 1
        self.pages_sharing += 1

    def _update_unstable_checksums(self) -> None:
        # pksm_update_unstable_page_checksum: always from the head of the list; what has changed is
        # examined again with the hash found here.
        visits = pages_to_hash(self.pages_unshared, self.tunables)
        for item in tuple(islice(self._checksum_list, visits)):
            if item.page is None or item.page.references:
                continue
            checksum = self._hash(item.page)
            if checksum != item.oldchecksum:
                item.oldchecksum = checksum
                self._remove_from_tree(item)
                self._lists.enter(item, PksmFlag.RESCAN_LIST)

    def _free(self, item: PksmItem) -> None:
        self._remove_from_tree(item)
        self.watcher.rmap_item_removed(item, freed=True)
        self.stable_nodes -= item.anon_nodes

    def _remove_from_tree(self, item: PksmItem) -> None:
        if PksmFlag.STABLE in item.flags:
            self.watcher.stable_node_removed(item)
            item.flags &= ~PksmFlag.STABLE
            self.stable.erase(item)
            self.pages_shared -= 1
        elif PksmFlag.UNSTABLE in item.flags:
            self.watcher.rmap_item_removed(item, freed=False)
            item.flags &= ~PksmFlag.UNSTABLE
            self.unstable.erase(item)
            self.pages_unshared -= 1
            del self._checksum_list[item]

    def _mapped_beyond_first(self) -> int:
        return sum(max(0, page.mapcount - 1) for page in self._merge.ksm_pages)

    def _hash(self, page: Frame) -> int:
        return self.memory.pool.checksum(page.data)
