"""Declares the figures of the life of merges and their metric families."""

from __future__ import annotations

from ksmtrace.events import EventKind
from ksmtrace.figures import Family, FigureSpec, counter, gauge
from ksmtrace.session import Knowledge

LIVES = (EventKind.CMP_AND_MERGE_PAGE, EventKind.STABLE_APPEND)
"""What it takes to see an rmap_item's life as far as its merge."""

SPANS: tuple[EventKind | Knowledge, ...] = (
    Knowledge.RMAP_ITEMS,
    EventKind.STABLE_APPEND,
    EventKind.REMOVE_RMAP_ITEM,
    EventKind.REMOVE_STABLE_NODE,
)
"""What it takes to see a merge from its beginning to its end."""

_STAGES = counter(
    "ksmtrace_lives_pages_total",
    "rmap_items that reached a stage of their life, each counted once. Few candidates of those "
    "seen: memory changes too fast; few merged of the candidates: pages have no twins.",
    "stage",
)

LATENCY = Family(
    "ksmtrace_merge_latency_seconds",
    "histogram",
    "From ksmd's first sight of a page to its merge. p90 of hours: raise pages_to_scan or use the "
    "advisor.",
    of=("merge_latency_buckets_pages.<seconds>",),
)
FAMILIES = (LATENCY,)

FIGURES = (
    FigureSpec(
        "seen_pages",
        "pages",
        "rmap_items that events spoke of; after a loss those alive are met for the first time "
        "again, and count again.",
        needs=LIVES,
        panel="seen",
        metric=_STAGES,
        series=("seen",),
    ),
    FigureSpec(
        "candidate_pages",
        "pages",
        "Those of them that were ever in the unstable tree.",
        needs=LIVES,
        panel="candidate",
        metric=_STAGES,
        series=("candidate",),
    ),
    FigureSpec(
        "merged_pages",
        "pages",
        "Those that ever joined a stable node, each once.",
        needs=LIVES,
        panel="merged",
        metric=_STAGES,
        series=("merged",),
    ),
    FigureSpec(
        "broken_pages",
        "pages",
        "Those that ever left the stable tree and lived on: written to, or their KSM page was "
        "gone.",
        needs=SPANS,
        panel="broken",
        metric=_STAGES,
        series=("broken",),
    ),
    FigureSpec(
        "gone_pages",
        "pages",
        "Those that were freed: unmapped, exited, or no longer mergeable.",
        needs=(*LIVES, EventKind.REMOVE_RMAP_ITEM, Knowledge.RMAP_ITEMS),
        panel="gone",
        metric=_STAGES,
        series=("gone",),
    ),
    FigureSpec(
        "merge_latency_pages",
        "pages",
        "rmap_items measured from first sight to first STABLE_APPEND; only those that were surely "
        "new when first seen: after KSM was empty, or after a whole pass.",
        needs=LIVES,
    ),
    FigureSpec(
        "merge_latency_p50_seconds",
        "seconds",
        "Half of them took at most so long, within 5%.",
        needs=(*LIVES, Knowledge.TIMES),
        panel="latency p50",
        section="half merged within",
    ),
    FigureSpec(
        "merge_latency_p90_seconds",
        "seconds",
        "Nine tenths of them took at most so long, within 5%.",
        needs=(*LIVES, Knowledge.TIMES),
        panel="  p90",
        section="nine tenths merged within",
    ),
    FigureSpec(
        "merge_latency_passes.<passes>",
        "pages",
        "`merge_latency_pages` by the number of passes that it took, the first look's included: "
        '"1" is merged at first look, "more" above 8.',
        needs=LIVES,
    ),
    FigureSpec(
        "merge_latency_buckets_pages.<seconds>",
        "pages",
        'The same by seconds: each key is an upper bound, "more" above the last.',
        needs=(*LIVES, Knowledge.TIMES),
    ),
    FigureSpec("ended_merges_pages", "pages", "Merges seen that ended.", needs=SPANS),
    FigureSpec(
        "lasting_merges_pages",
        "pages",
        "Merges seen that last, or that a loss cut off.",
        needs=SPANS,
    ),
    FigureSpec(
        "merge_half_life_seconds",
        "seconds",
        "Time that half of the merges last at least, by the method of Kaplan and Meier: those that "
        "last count for as long as they have.",
        needs=(*SPANS, Knowledge.TIMES),
        panel="half-life",
        section="half of all merges last",
        exactness="derived",
        metric=gauge(
            "ksmtrace_merge_half_life_seconds",
            "Time that half of the merges last at least. Shorter than a few passes: merging is "
            "undone as fast as it is done, advise less memory.",
        ),
    ),
    FigureSpec(
        "merge_half_life_above_seconds",
        "seconds",
        "Where that is null, a bound that it is above.",
        needs=(*SPANS, Knowledge.TIMES),
    ),
    FigureSpec(
        "cut_pages",
        "pages",
        "rmap_items alive at a loss, of which it is not known what became: so many of `seen_pages` "
        "may be there twice.",
        needs=LIVES,
        section="lost sight of, as events were lost",
    ),
)
