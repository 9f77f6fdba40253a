"""PKSM's merges: the walk over all mappings that may hold a page, and what it does at each."""

from __future__ import annotations

from collections.abc import Callable

from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.memory import Frame, Memory, Mm
from ksmtrace.engine.relatives.pksm_item import PksmItem, Result
from ksmtrace.engine.relatives.pte_item import PteItem

AtEntry = Callable[[Mm, int], Result]
"""What to do at a write-protected entry: a process and the number of a page."""


class PksmMerge:
    """Replaces entries of pages.

    A walk ends at the first mapping that does not map the page, and what the walk returns is what
    its last step did: entries replaced before stay so, and nothing is undone.

    Attributes:
        ksm_pages: the pages that are KSM pages.
        comparisons: contents compared (pages_identical), once for each entry.
    """

    def __init__(
        self, memory: Memory, watcher: Watcher, shared: Callable[[PksmItem], None]
    ) -> None:
        self._memory = memory
        self._watcher = watcher
        self._shared = shared
        self.ksm_pages: set[Frame] = set()
        self.comparisons = 0

    def upgrade(self, item: PksmItem, page: Frame) -> Result:
        """Make a page a KSM page, mapped at one place and possible at no other.

        try_to_merge_one_anon_page without a kpage. The walk marks the page at the first mapping; at
        a second the page has no anon_vma any more, whether it is mapped there or not.
        """

        def mark(_mm: Mm, _vpn: int) -> Result:
            page.ksm = True
            self.ksm_pages.add(page)
            return Result.SUCCESS

        result = self._walk(item, page, mark)
        self._watcher.merged_one(item, page, None, result)
        return result

    def merge(self, item: PksmItem, page: Frame, node: PksmItem) -> Result:
        """Map the page of `node` wherever `page` is mapped (try_to_merge_one_anon_page).

        Where their hashes are equal and their contents differ nothing is replaced, which is a
        success all the same (pksm_writepect_pte).
        """
        kpage = node.page
        assert kpage is not None, "the search passes over items without a page"
        replaced: list[tuple[Mm, int]] = []

        def replace(mm: Mm, vpn: int) -> Result:
            self.comparisons += 1
            if page.data is kpage.data:
                self._memory.map_frame(mm, vpn, kpage)
                self._shared(node)
                replaced.append((mm, vpn))
            return Result.SUCCESS

        return self._report(item, page, kpage, self._walk(item, page, replace), replaced)

    def merge_zero_page(self, item: PksmItem, page: Frame) -> Result:
        """Map the zero page wherever `page` is mapped (try_to_merge_zero_page).

        A page of which only the sampled words are zero is left as it is, which is a success
        (pksm_merge_zero_page).
        """
        zero_page = self._memory.zero_page
        replaced: list[tuple[Mm, int]] = []

        def replace(mm: Mm, vpn: int) -> Result:
            if page.data is zero_page.data:
                self._memory.map_frame(mm, vpn, zero_page)
                self._memory.mark_ksm_zero_page(mm, vpn)
                replaced.append((mm, vpn))
            return Result.SUCCESS

        return self._report(item, page, zero_page, self._walk(item, page, replace), replaced)

    def _walk(self, item: PksmItem, page: Frame, at_entry: AtEntry) -> Result:
        # pksm_rmap_walk goes over every mapping of the anon_vma, also those that lie elsewhere.
        if page.ksm or not page.mapcount:
            return Result.DROP
        result = Result.DROP
        for vma, mm in tuple(item.anon_vma.vmas):
            inside = vma.start <= item.vpn < vma.end
            if page in self.ksm_pages or not inside or mm.ptes.get(item.vpn) is not page:
                return Result.DROP
            if page.references != 1:
                return Result.TRY
            page.exclusive = False
            result = at_entry(mm, item.vpn)
        return result

    def _report(
        self,
        item: PksmItem,
        page: Frame,
        kpage: Frame,
        result: Result,
        replaced: list[tuple[Mm, int]],
    ) -> Result:
        self._watcher.merged_one(item, page, kpage, result)
        for mm, vpn in replaced:
            self._watcher.replaced(PteItem(mm, vpn, item.key), page, kpage)
        return result
