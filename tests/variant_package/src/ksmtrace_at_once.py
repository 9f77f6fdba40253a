"""How much could be saved at most? A whole variant of another package."""

import errno
import os
from dataclasses import replace

from ksmtrace.engine.ksm.counters import COUNTERS
from ksmtrace.engine.ksm.tunables import DEFAULTS
from ksmtrace.engine.ksm.variant import Visibility
from ksmtrace.engine.relatives.relative_scanner import RelativeScanner, check_unsigned
from ksmtrace.engine.variants import VARIANTS
from ksmtrace.events import EventKind
from ksmtrace.session import Knowledge


class AtOnceScanner(RelativeScanner):
    """In each batch, which is a pass, all equal pages that are mapped often enough become one."""

    def __init__(self, variant, watcher):
        super().__init__(variant, watcher, variant.own_tunables)
        self.comparisons = 0

    @property
    def saved_pages(self):
        pages = {page for mm in self.memory.mms for page in mm.ptes.values() if page.ksm}
        return sum(page.mapcount - 1 for page in pages)

    @property
    def metadata_bytes(self):
        return 0

    def write_tunable(self, name, value):
        if name == "least":
            check_least(name, value)
        super().write_tunable(name, value)

    def scan_batch(self):
        if os.environ.get("AT_ONCE_RAISES"):
            raise LookupError("told\nto raise")
        self.watcher.scan_start(self._passes)
        mapped = {}
        for mm in self.memory.mms:
            for vpn, page in mm.ptes.items():
                if page.anon and page.compound is None:
                    mapped.setdefault(page.data, []).append((mm, vpn, page))
                    self._scanned += 1
        for places in mapped.values():
            if len(places) >= self.tunables["least"]:
                self._merge(places)
        self._passes += 1
        self.watcher.scan_stop(self._passes - 1, self.readings())

    def _merge(self, places):
        kpage = places[0][2]
        kpage.ksm, kpage.exclusive = True, False
        for mm, vpn, page in places:
            if page is not kpage and not page.references:
                self.comparisons += 1
                self.memory.replace_frame(mm, vpn, kpage)

    def counters(self):
        return dict.fromkeys(COUNTERS) | {
            "full_scans": self._passes,
            "pages_scanned": self._scanned,
            "pages_sharing": self.saved_pages,
        }


def check_least(name, value):
    """A page shared by one is none."""
    if check_unsigned(name, value) < 2:
        raise OSError(errno.EINVAL, name)


VARIANT = replace(
    VARIANTS["zero-page"],
    name="at-once",
    make=lambda variant, _nodes, watcher: AtOnceScanner(variant, watcher),
    absent_tunables=frozenset(DEFAULTS),
    own_tunables={"least": 2},
    check_own_tunable=check_least,
    visibility=Visibility(
        seen={EventKind.SCAN_START: "scan_batch", EventKind.SCAN_STOP: "scan_batch"},
        notes={EventKind.CMP_AND_MERGE_PAGE: "pages are looked up, not examined one by one"},
        item_bytes=0,
        lacks=frozenset({Knowledge.RMAP_ITEMS, Knowledge.TREES}),
    ),
)
