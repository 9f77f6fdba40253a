"""Declares the figures of volatile pages and their metric families."""

from __future__ import annotations

from collections.abc import Iterable

from ksmtrace.events import EventKind
from ksmtrace.figures import GROUP, PROCESS, RANGE, FigureSpec, Specs, counter, gauge
from ksmtrace.plugins.volatile.cause import LIVE, REMEDIES, Cause
from ksmtrace.session import Knowledge

_EXAMINED = (EventKind.CMP_AND_MERGE_PAGE,)
_SEEN = (*_EXAMINED, Knowledge.TREES)
_LIVES = (Knowledge.RMAP_ITEMS,)
_SAME = (Knowledge.CHECKSUMS,)
_NEEDS = {
    Cause.GONE: _LIVES,
    Cause.CHANGED: _SAME,
    Cause.FORK_SHARED: _SAME,
    Cause.CHAIN_FULL: (*_SAME, Knowledge.ONE_TREE),
}
"""What must be known so that a cause is."""

_OUTCOMES = counter(
    "ksmtrace_examined_pages_total",
    "Pages examined, by outcome. changed: written to between two looks, no use scanning; "
    "unplaced: unchanged but in no tree, see ksmtrace_wasted_pages_total for why.",
    "outcome",
)

WASTED = counter(
    "ksmtrace_wasted_pages_total",
    "Examinations that came to nothing, by cause. changed: advise less memory; held: pinned or "
    "under I/O; huge_page: held whole; chain_full: raise max_page_sharing; fork_shared: shared "
    "already.",
    "cause",
    of=("causes.<cause>.examined_pages",),
)
UNPLACED = gauge(
    "ksmtrace_unplaced_pages",
    "Pages kept from their place now, by cause of their last look; those of chain_full wait in the "
    "unstable tree. "
    "The largest says where to act; `ksmtrace live --json` names processes and ranges.",
    "cause",
    of=("causes.<cause>.now_pages",),
)
FAMILIES = (WASTED, UNPLACED)


def _by_cause(causes: Iterable[Cause]) -> Specs:
    return tuple(
        FigureSpec(
            f"{cause.name.lower()}_pages",
            "pages",
            f"Of the cause {cause.name.lower()}.",
            needs=_NEEDS.get(cause, ()),
        )
        for cause in causes
    )


FIGURES = (
    FigureSpec(
        "volatile_pages",
        "pages",
        "rmap_items in neither tree, as sysfs pages_volatile, now: reconstructed where all is "
        "seen, else the kernel's own.",
        panel="volatile",
        section="neither merged nor unique now",
        metric=gauge(
            "ksmtrace_volatile_pages",
            "Pages in neither tree. High for long: look at ksmtrace_unplaced_pages for why, by "
            "cause.",
        ),
    ),
    FigureSpec(
        "examined_pages",
        "pages",
        "CMP_AND_MERGE_PAGE: examinations. They ended as the two `placed_` counts, "
        "`changed_pages`, `first_look_pages`, `unplaced_pages` and `freed_pages` say.",
        needs=_EXAMINED,
        panel="examined",
        section="pages examined",
    ),
    FigureSpec(
        "placed_stable_pages",
        "pages",
        "Examinations that ended in the stable tree.",
        needs=_SEEN,
        metric=_OUTCOMES,
        series=("stable",),
    ),
    FigureSpec(
        "placed_unstable_pages",
        "pages",
        "Examinations that ended in the unstable tree.",
        needs=_SEEN,
        metric=_OUTCOMES,
        series=("unstable",),
    ),
    FigureSpec(
        "wasted_pages",
        "pages",
        "Examinations that came to nothing: `examined_pages` of all causes except first_look.",
        needs=_SEEN,
        section="examined in vain",
    ),
    FigureSpec(
        "wasted_ratio",
        "ratio",
        "`wasted_pages` by `examined_pages`.",
        needs=_SEEN,
        panel="for nothing",
        section="share examined in vain",
        exactness="derived",
    ),
    FigureSpec(
        "changed_pages",
        "pages",
        "Examinations that ended in neither tree, where the checksum differed from that of the "
        "look before.",
        needs=(*_SEEN, *_SAME),
        panel="changed",
        metric=_OUTCOMES,
        series=("changed",),
    ),
    FigureSpec(
        "first_look_pages",
        "pages",
        "The same where there was no look before (oldchecksum 0), which says nothing about change.",
        needs=(*_SEEN, *_SAME),
        metric=_OUTCOMES,
        series=("first_look",),
    ),
    FigureSpec(
        "unplaced_pages",
        "pages",
        "Examinations that ended in neither tree with the checksum unchanged. `causes` has "
        "fork_shared, held, huge_page and other; the rest was replaced by the zero page.",
        needs=(*_SEEN, *_SAME),
        metric=_OUTCOMES,
        series=("unplaced",),
    ),
    FigureSpec(
        "freed_pages",
        "pages",
        "Examinations whose rmap_item was gone before the outcome could be read.",
        needs=_SEEN,
        metric=_OUTCOMES,
        series=("freed",),
    ),
    FigureSpec(
        "last_pass_examined_pages",
        "pages",
        "Pages examined in the last pass that was seen from its start to its end.",
        needs=_SEEN,
        metric=gauge(
            "ksmtrace_last_pass_examined_pages",
            "Pages examined in the last whole pass: what one pass costs. Divide by pages_to_scan "
            "for its batches.",
        ),
    ),
    FigureSpec(
        "last_pass_changed_pages",
        "pages",
        "Those of them that had changed.",
        needs=(*_SEEN, *_SAME),
        metric=gauge(
            "ksmtrace_last_pass_changed_pages",
            "Pages of the last whole pass that had changed since the pass before: work for "
            "nothing.",
        ),
    ),
    FigureSpec(
        "last_pass_changed_ratio",
        "ratio",
        "`last_pass_changed_pages` by `last_pass_examined_pages`.",
        needs=(*_SEEN, *_SAME),
        panel="  last pass",
        metric=gauge(
            "ksmtrace_last_pass_changed_ratio",
            "Share of the last whole pass that had changed. Above 0.5: advise less memory, or turn "
            "smart_scan on; `ksmtrace live --json` names the processes.",
        ),
    ),
    FigureSpec(
        "skipped_pages",
        "pages",
        "Pages that smart scan passed over.",
        needs=(*_SEEN, EventKind.SKIPPED),
        section="passed over by smart scan",
    ),
    FigureSpec(
        "gone_pages",
        "pages",
        "rmap_items freed that were not merged.",
        needs=(*_SEEN, EventKind.REMOVE_RMAP_ITEM, *_LIVES),
        section="gone before they were merged",
    ),
    FigureSpec(
        "split_huge_pages",
        "",
        "Huge pages that attempts to merge took apart.",
        needs=(*_SEEN, EventKind.TRY_TO_MERGE_ONE_PAGE),
        section="huge pages split",
    ),
    FigureSpec(
        "causes.<cause>",
        "",
        "By cause: changed, fork_shared, held, huge_page, skipped, chain_full, gone, other and "
        "first_look (`ksmtrace.plugins.volatile.cause.Cause` says what each means). chain_full "
        "pages wait in the unstable tree; they are counted as a pass ends, in each pass again.",
        needs=_SEEN,
        of=(
            FigureSpec(
                "examined_pages",
                "pages",
                "Examinations that came to nothing because of it; for skipped and gone what was "
                "spent before that was known: none, and `freed_pages`.",
            ),
            FigureSpec(
                "now_pages",
                "pages",
                "rmap_items that it keeps from their place now, a lower bound where "
                "`volatile_pages` is null.",
            ),
            FigureSpec(
                "ksmd_cpu_seconds",
                "seconds",
                "ksmd's time times their share of all examinations.",
            ),
        ),
    ),
    FigureSpec(
        "processes[]",
        "",
        "The ten processes with most `changed_pages`.",
        needs=(*_SEEN, *_SAME),
        of=(*PROCESS, FigureSpec("changed_pages", "pages", "As of all.")),
    ),
    FigureSpec("other_changed_pages", "pages", "Of processes not listed.", needs=(*_SEEN, *_SAME)),
    FigureSpec(
        "exited_changed_pages",
        "pages",
        "Of processes that have exited.",
        needs=(*_SEEN, *_SAME, EventKind.MM_EXIT),
    ),
    FigureSpec(
        "cause_processes[]",
        "",
        "The ten processes with most examinations that came to nothing, and these by cause; "
        "`skipped_pages` and `gone_pages` as of all.",
        needs=_SEEN,
        of=(*PROCESS, *GROUP, *_by_cause(REMEDIES)),
    ),
    FigureSpec(
        "cause_rest",
        "",
        "The same sums over all other processes, those that have exited included.",
        needs=_SEEN,
        of=_by_cause(REMEDIES),
    ),
    FigureSpec(
        "ranges[]",
        "",
        "The ten runs of 2 MiB with most pages kept from their place now, and these by cause.",
        needs=_SEEN,
        of=(*PROCESS, *RANGE, FigureSpec("pages", "pages", "All of them."), *_by_cause(LIVE)),
    ),
)
