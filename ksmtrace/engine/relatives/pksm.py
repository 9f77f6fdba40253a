"""PKSM, page-based KSM (mm/pksm.c, out of tree): each new anonymous page is examined once."""

from __future__ import annotations

from errno import EFAULT

from ksmtrace.engine.ksm.counters import COUNTERS, RMAP_ITEM_SIZE
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.memory import Frame, Mm
from ksmtrace.engine.relatives.pksm_item import PksmFlag, PksmItem, PksmSharer, PksmTree, Result
from ksmtrace.engine.relatives.pte_item import PteItem
from ksmtrace.engine.relatives.relative_scanner import RelativeScanner

_FIRST_KEY = 0xFFFF888100000000
_PERIOD_SECONDS = 10
_EXTRA = 2
"""A batch counts with a post-increment and a "greater than": it takes two items too many."""


class PksmScanner(RelativeScanner):
    """pksmd, and the hooks by which it learns of pages.

    As in the older of the two known copies a batch takes `pages_to_scan` new items at once; as in
    the later one an unstable item whose page has not changed goes to the end of the list of those
    to be checked again. PKSM knows no
    passes: here, one ends when all items that were new at its beginning have been examined.

    Writing 2 to `run` unmerges nothing (run_store).

    An entry that maps a KSM page and goes lowers `pages_sharing`; the copies' own hook for that was
    not at hand.
    """

    def __init__(self, variant: Variant, watcher: Watcher) -> None:
        super().__init__(variant, watcher, {"pages_to_scan": 1000, "sleep_millisecs": 20})
        self.memory.owner = self
        self.pages_shared = 0
        self.pages_sharing = 0
        self.pages_unshared = 0
        self.stable = PksmTree(self._remove_from_tree)
        self.unstable = PksmTree(self._remove_from_tree)
        self._items: dict[Frame, PksmItem] = {}
        self._new: dict[PksmItem, int] = {}  # by age, with how many had entered before
        self._entered = 0
        self._deleted: list[PksmItem] = []
        self._recheck: dict[PksmItem, None] = {}
        self._pass_end: int | None = None
        self._content_comparisons = 0
        self._made = 0

    @property
    def comparisons(self) -> int:
        """Hashes and contents compared."""
        return self.stable.comparisons + self.unstable.comparisons + self._content_comparisons

    @property
    def rmap_items(self) -> int:
        """Items alive, those on the delete list included."""
        return len(self._items) + len(self._deleted)

    def page_mapped(self, page: Frame, mm: Mm, vpn: int) -> None:
        """A new anonymous page is put on the list of new ones (pksm_add_new_anon_page)."""
        if page.anon and page.mapcount == 1 and not page.ksm and page not in self._items:
            item = self._items[page] = PksmItem(self._new_key(), page, mm, vpn)
            self._enter(item)

    def page_unmapped(self, page: Frame, mm: Mm, vpn: int) -> None:
        """An entry is gone; with the last one the page is (pksm_del_anon_page)."""
        item = self._items.get(page)
        if item is None:
            return
        if item.sharers:
            # Where the item's own entry goes, it takes the place of the oldest sharer.
            self._forget_sharer(item, (mm, vpn))
        if page.mapcount:
            return
        while item.sharers:
            self._forget_sharer(item, (mm, vpn))
        item.page = None
        del self._items[page]
        if PksmFlag.NEWLIST in item.flags:
            del self._new[item]
            self.watcher.rmap_item_removed(item, freed=True)
        else:
            item.flags |= PksmFlag.DELLIST
            self._deleted.append(item)

    def page_written(self, _mm: Mm, _vpn: int, /) -> None:
        """Nothing: what has changed is found by its hash."""

    def scan_batch(self) -> None:
        """Examine new items, free deleted ones, check a part of the unstable tree again.

        ksm_do_scan.
        """
        if self._pass_end is None:
            self._pass_end = self._entered
            self.watcher.scan_start(self._passes)
        taken = list(self._new)[: self.tunables["pages_to_scan"] + _EXTRA]
        for item in taken:
            del self._new[item]
            item.flags &= ~PksmFlag.NEWLIST
        for item in taken:
            self._examine(item)
        for item in self._deleted:
            self._free(item)
        self._deleted.clear()
        self._update_unstable_checksums()
        # What was new as the pass began may have gone unseen.
        if next(iter(self._new.values()), self._pass_end) >= self._pass_end:
            self._pass_end = None
            self._passes += 1
            self.watcher.scan_stop(self._passes - 1, self.readings())

    def counters(self) -> dict[str, int | None]:
        """The files of /sys/kernel/mm/pksm; `ksm_zero_pages` is its pages_zero_sharing."""
        zero = self.memory.ksm_zero_pages
        return dict.fromkeys(COUNTERS) | {
            "full_scans": self._passes,
            "pages_shared": self.pages_shared,
            "pages_sharing": self.pages_sharing + zero,
            "pages_unshared": self.pages_unshared,
            "ksm_zero_pages": zero,
        }

    def readings(self) -> dict[str, int]:
        """As `counters`, but `pages_sharing` is without the zero pages that its file adds."""
        return super().readings() | {"pages_sharing": self.pages_sharing}

    def _examine(self, item: PksmItem) -> None:
        page = item.page
        if page is None:
            return
        if page.references:
            self._examine_later(item)
            return
        self._scanned += 1
        page.references += 1
        self.watcher.candidate(item, page)
        result = self._cmp_and_merge_page(item, page)
        page.references -= 1
        self.watcher.candidate_done()
        if result is Result.TRY:
            self._examine_later(item)
        elif result is Result.DROP:
            self._free(item)
            self._items.pop(page, None)

    def _examine_later(self, item: PksmItem) -> None:
        if item.page is not None:
            item.flags |= PksmFlag.NEWLIST | PksmFlag.INITCHECKSUM
            self._enter(item)

    def _cmp_and_merge_page(self, item: PksmItem, page: Frame) -> Result:
        # cmp_and_merge_page: zero page, then stable tree, then unstable tree; no wait for a second
        # look.
        if page.ksm or PksmFlag.STABLE in item.flags:
            return Result.DROP
        self._remove_from_tree(item)
        if PksmFlag.INITCHECKSUM in item.flags:
            item.flags &= ~PksmFlag.INITCHECKSUM
            item.oldchecksum = self._hash(page)
        if item.oldchecksum == self._hash(self.memory.zero_page) and self._merge_zero_page(
            item, page
        ):
            return Result.SUCCESS
        node = self.stable.search(item.oldchecksum)
        if node is not None:
            result, sharers = self._try_to_merge(item, page, node)
            self._append(node, sharers)
            return result
        tree_item = self.unstable.search(item.oldchecksum)
        if tree_item is not None:
            return self._merge_two(item, page, tree_item)
        self.unstable.insert(item)
        item.flags |= PksmFlag.UNSTABLE
        self.pages_unshared += 1
        self._recheck[item] = None
        return Result.SUCCESS

    def _merge_two(self, item: PksmItem, page: Frame, tree_item: PksmItem) -> Result:
        # try_to_merge_two_pages: the page under examination becomes the KSM page. There is no way
        # back: when the second half fails it stays one, outside the stable tree.
        tree_page = tree_item.page
        assert tree_page is not None, "the search passes over items without a page"
        result = self._upgrade(item, page)
        if result is not Result.SUCCESS:
            return result
        tree_page.references += 1
        result, sharers = self._try_to_merge(tree_item, tree_page, item)
        tree_page.references -= 1
        if result is not Result.SUCCESS:
            return result
        self._remove_from_tree(tree_item)
        self.stable.insert(item)
        self.watcher.appended(item, item)
        item.flags |= PksmFlag.STABLE
        self.pages_shared += 1
        self._append(item, sharers)
        return Result.SUCCESS

    def _upgrade(self, item: PksmItem, page: Frame) -> Result:
        # The walk over the page's mappings marks it at the first, and then finds no address for a
        # KSM page.
        if page.references != 1:
            self.watcher.merged_one(item, page, None, -EFAULT)
            return Result.TRY
        page.ksm = True
        page.exclusive = False
        for index, (mm, vpn) in enumerate(self._mappings(item, page)[:2]):
            self.watcher.merged_one(PteItem(mm, vpn, item.key), page, None, -EFAULT * index)
        return Result.SUCCESS if page.mapcount == 1 else Result.DROP

    def _try_to_merge(
        self, item: PksmItem, page: Frame, node: PksmItem
    ) -> tuple[Result, list[PksmSharer]]:
        # Replaces every entry of the page. Equal hashes count as equal pages: when the contents
        # differ nothing is replaced, and it is a success all the same.
        kpage = node.page
        assert kpage is not None, "the search passes over items without a page"
        if page.references != 1:
            self.watcher.merged_one(item, page, kpage, -EFAULT)
            return Result.TRY, []
        page.exclusive = False
        self._content_comparisons += 1
        sharers = []
        for mm, vpn in self._mappings(item, page):
            entry = PteItem(mm, vpn, item.key)
            self.watcher.merged_one(entry, page, kpage, 0)
            if page.data is kpage.data:
                self.watcher.replaced(entry, page, kpage)
                self.memory.map_frame(mm, vpn, kpage)
                sharers.append(PksmSharer(mm, vpn, self._new_key(), node))
        return Result.SUCCESS, sharers

    def _append(self, node: PksmItem, sharers: list[PksmSharer]) -> None:
        for sharer in sharers:
            self.watcher.appended(sharer, node)
            node.sharers[sharer.mm, sharer.vpn] = sharer
            self.pages_sharing += 1

    def _forget_sharer(self, node: PksmItem, place: tuple[Mm, int]) -> None:
        sharer = node.sharers.pop(place if place in node.sharers else next(iter(node.sharers)))
        self.watcher.rmap_item_removed(sharer, freed=True)
        self.pages_sharing -= 1

    def _merge_zero_page(self, item: PksmItem, page: Frame) -> bool:
        self._content_comparisons += 1
        zero_page = self.memory.zero_page
        if page.data is not zero_page.data:
            self.watcher.merged_one(item, page, zero_page, -EFAULT)
            return False
        for mm, vpn in self._mappings(item, page):
            entry = PteItem(mm, vpn, item.key)
            self.watcher.merged_one(entry, page, zero_page, 0)
            self.watcher.replaced(entry, page, zero_page)
            self.memory.map_frame(mm, vpn, zero_page)
            self.memory.mark_ksm_zero_page(mm, vpn)
        return True

    def _update_unstable_checksums(self) -> None:
        # pksm_update_unstable_page_checksum: what has changed is new again.
        pages = self.tunables["pages_to_scan"]
        need = self.pages_unshared
        if need >= pages:
            need = need * self.tunables["sleep_millisecs"] // (_PERIOD_SECONDS * 1000)
        need = min(need, pages)
        if need <= 0:
            return
        for item in list(self._recheck)[: need + _EXTRA]:
            if item.page is None or item.page.references:
                continue
            checksum = self._hash(item.page)
            if checksum == item.oldchecksum:
                del self._recheck[item]
                self._recheck[item] = None
                continue
            item.oldchecksum = checksum
            self._remove_from_tree(item)
            item.flags |= PksmFlag.NEWLIST
            self._enter(item)

    def _enter(self, item: PksmItem) -> None:
        self._new[item] = self._entered
        self._entered += 1

    def _free(self, item: PksmItem) -> None:
        self._remove_from_tree(item)
        self.watcher.rmap_item_removed(item, freed=True)

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
            del self._recheck[item]

    def _mappings(self, item: PksmItem, page: Frame) -> list[tuple[Mm, int]]:
        # The walk over all that a process inherited is in place of the kernel's walk over the
        # anon_vma.
        if page.mapcount == 1 and item.mm.ptes.get(item.vpn) is page:
            return [(item.mm, item.vpn)]
        return [(mm, vpn) for mm in self.memory.mms for vpn, f in mm.ptes.items() if f is page]

    def _new_key(self) -> int:
        self._made += 1
        return _FIRST_KEY + self._made * RMAP_ITEM_SIZE

    def _hash(self, page: Frame) -> int:
        return self.memory.pool.checksum(page.data)
