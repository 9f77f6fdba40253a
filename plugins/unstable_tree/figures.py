"""Declares the figures of the unstable tree."""

from __future__ import annotations

from ksmtrace.events import EventKind
from ksmtrace.figures import FigureSpec, counter, gauge
from ksmtrace.session import Knowledge

_SCANNED = (EventKind.CMP_AND_MERGE_PAGE, Knowledge.TREES)
_REMOVED = (EventKind.REMOVE_RMAP_ITEM,)

FIGURES = (
    FigureSpec(
        "unshared_pages",
        "pages",
        "As sysfs pages_unshared, now: reconstructed where all is seen, else the kernel's own.",
        panel="unshared",
        section="unique pages now",
        metric=gauge(
            "ksmtrace_unshared_pages",
            "Candidates in the unstable tree: unchanged pages without a twin. "
            "Far above ksmtrace_sharing_pages for long: the scan finds little, slow it down or "
            "advise less memory.",
        ),
    ),
    FigureSpec(
        "inserted_pages",
        "pages",
        "Examinations that ended in the unstable tree.",
        needs=_SCANNED,
        panel="inserted",
        section="put into the unstable tree",
        metric=counter(
            "ksmtrace_unstable_inserted_pages_total",
            "Candidates put into the unstable tree, again in each pass that examines them.",
        ),
    ),
    FigureSpec(
        "last_pass_inserted_pages",
        "pages",
        "The same in the last pass that was seen from its start to its end.",
        needs=_SCANNED,
        panel="  last pass",
        section="put there in the last pass",
        metric=gauge(
            "ksmtrace_last_pass_inserted_pages",
            "Candidates put into the unstable tree in the last whole pass: the size of the "
            "haystack searched.",
        ),
    ),
    FigureSpec(
        "removed_pages",
        "pages",
        "rmap_items taken out of the tree and kept.",
        needs=_REMOVED,
        panel="taken out",
        section="taken out, still mergeable",
    ),
    FigureSpec(
        "matched_pages",
        "pages",
        "Those of them that next joined a stable node: twins found in either tree.",
        needs=(*_SCANNED, *_REMOVED, EventKind.STABLE_APPEND),
        panel="  matched",
        section="found a twin",
        metric=counter(
            "ksmtrace_unstable_matched_pages_total",
            "Candidates that left the unstable tree to join a stable node. Divide by inserted "
            "pages: the yield of scanning.",
        ),
    ),
    FigureSpec(
        "gone_pages",
        "pages",
        "rmap_items freed while they were in the tree.",
        needs=_REMOVED,
        panel="gone",
        section="gone before they found one",
        metric=counter(
            "ksmtrace_unstable_gone_pages_total",
            "Candidates whose rmap_item was freed while they waited: unmapped or exited. "
            "Near the rate of insertion: processes live too short to be worth scanning.",
        ),
    ),
)
