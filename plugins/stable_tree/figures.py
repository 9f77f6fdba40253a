"""Declares the figures of the stable tree and their metric families."""

from __future__ import annotations

from ksmtrace.events import EventKind
from ksmtrace.figures import Family, FigureSpec, counter, gauge
from ksmtrace.session import Knowledge

_APPENDED = (EventKind.STABLE_APPEND,)
_TRIED = (EventKind.TRY_TO_MERGE_ONE_PAGE,)
_REPLACED = (EventKind.REPLACE_PAGE,)
_COPIED = (EventKind.COW_FAULT,)
_WRITES = (Knowledge.WRITES,)

_TABLE_ENTRIES = counter(
    "ksmtrace_replaced_pages_total",
    "Page table entries that ksmd pointed to a KSM page (ksm) or to the zero page (zero). "
    "zero far ahead of ksm: the gain is unused memory, a smaller guest or heap saves more.",
    "kpage",
    all_or_none=True,
)
_COPIES = counter(
    "ksmtrace_cow_faults_total",
    "KSM pages copied: by a process that wrote (user), or because the kernel broke the sharing "
    "(kernel). user near the rate of merged pages: KSM merges what is about to be written, "
    "advise less memory.",
    "by",
)

CHAINS = gauge(
    "ksmtrace_stable_chain_mean_nodes",
    "KSM pages for each content that has a chain of them, 0 without chains. "
    "Growing: one content has more sharers than max_page_sharing lets a page have; raise it.",
    of=("stable_node_dups", "stable_node_chains"),
)
ATTEMPTS = counter(
    "ksmtrace_merge_attempts_total",
    "Calls of try_to_merge_one_page by result: done, the errno, or other for one that this system "
    "does not know. "
    "Many EFAULT: pages are pinned (DMA, io_uring, passthrough) or written to while being merged.",
    "result",
    of=("attempted_pages", "failed_pages.<errno>"),
)
SHARERS = Family(
    "ksmtrace_stable_node_sharers",
    "gaugehistogram",
    "KSM pages by number of pages that share each. "
    "Most at 256: raise max_page_sharing; most at 1: little gain.",
    of=("node_sharers_pages.<sharers>", "shared_pages", "sharing_pages"),
)
FAMILIES = (CHAINS, ATTEMPTS, SHARERS)

TREE = (
    FigureSpec(
        "shared_pages",
        "pages",
        "As sysfs pages_shared, now: reconstructed where all is seen, else the kernel's own.",
        panel="shared",
        section="KSM pages (shared)",
        metric=gauge(
            "ksmtrace_shared_pages",
            "KSM pages: stable nodes with an rmap_item. The cost side of sharing: compare with "
            "ksmtrace_sharing_pages.",
        ),
    ),
    FigureSpec(
        "sharing_pages",
        "pages",
        "As sysfs pages_sharing, now, likewise.",
        panel="sharing",
        section="saved pages (sharing)",
        metric=gauge(
            "ksmtrace_sharing_pages",
            "Pages saved: rmap_items beyond the first of each stable node. Falling while ksmd "
            "runs: pages are written to.",
        ),
    ),
    FigureSpec(
        "saved_bytes",
        "bytes",
        "`sharing_pages` times the page size, now.",
        panel="saved MiB",
        section="saved by sharing",
        metric=gauge(
            "ksmtrace_saved_bytes",
            "Memory that sharing saves now: sharing pages times the page size. Weigh it against "
            "the CPU time of ksmd.",
        ),
    ),
    FigureSpec(
        "merged_pages",
        "pages",
        "STABLE_APPEND: pages that joined a stable node. A forked child's pages, which are shared "
        "before ksmd comes to them, join without being merged and count too.",
        needs=_APPENDED,
        counted=True,
        panel="merged",
        section="pages merged in this run",
        metric=counter(
            "ksmtrace_merged_pages_total",
            "Pages that joined a stable node, copies found shared after a fork included. "
            "High while ksmtrace_sharing_pages stands still: pages are merged, written to and "
            "merged again.",
        ),
    ),
    FigureSpec(
        "last_pass_merged_pages",
        "pages",
        "The same in the last pass that was seen from its start to its end.",
        needs=_APPENDED,
        panel="  last pass",
        metric=gauge(
            "ksmtrace_last_pass_merged_pages",
            "Pages that joined a stable node in the last whole pass. Near 0 pass after pass: KSM "
            "has settled, scan slower.",
        ),
    ),
    FigureSpec(
        "new_node_pages",
        "pages",
        "Of `merged_pages`, the first of their node.",
        needs=_APPENDED,
        metric=counter(
            "ksmtrace_stable_nodes_made_total",
            "Stable nodes that got their first rmap_item. Near the rate of merged pages: pages "
            "have few twins.",
        ),
    ),
    FigureSpec("attempted_pages", "pages", "TRY_TO_MERGE_ONE_PAGE.", needs=_TRIED, counted=True),
    FigureSpec(
        "failed_pages.<errno>",
        "pages",
        "Those of them that failed, by the errno's name.",
        needs=_TRIED,
        counted=True,
        panel="  failed",
    ),
    FigureSpec(
        "break_cow_pages",
        "pages",
        "BREAK_COW.",
        needs=(EventKind.BREAK_COW,),
        counted=True,
        panel="break_cow",
        metric=counter(
            "ksmtrace_break_cow_pages_total",
            "Half-done merges that ksmd undid. Should stay rare: each is a copy made for nothing.",
        ),
    ),
    FigureSpec(
        "left_pages",
        "pages",
        "REMOVE_RMAP_ITEM from the stable tree.",
        needs=(EventKind.REMOVE_RMAP_ITEM, Knowledge.RMAP_ITEMS),
        panel="left",
        section="pages unmerged one by one",
        metric=counter(
            "ksmtrace_stable_left_pages_total",
            "rmap_items that left the stable tree one by one: written to, unmapped or exited. "
            "Compare with merged pages.",
        ),
    ),
    FigureSpec(
        "removed_node_pages",
        "pages",
        "REMOVE_STABLE_NODE; its rmap_items are not among `left_pages`.",
        needs=(EventKind.REMOVE_STABLE_NODE,),
        counted=True,
        section="KSM pages removed",
        metric=counter(
            "ksmtrace_stable_nodes_removed_total",
            "Stable nodes whose page was gone and was cleared away, with all that shared it.",
        ),
    ),
)
"""What is in the tree, what joined it and what left."""

COPIES = (
    FigureSpec(
        "replaced_pages",
        "pages",
        "Page table entries that ksmd pointed to a KSM page.",
        needs=_REPLACED,
        counted=True,
        metric=_TABLE_ENTRIES,
        series=("ksm",),
    ),
    FigureSpec(
        "zero_page_pages",
        "pages",
        "Page table entries that ksmd pointed to the zero page.",
        needs=_REPLACED,
        counted=True,
        metric=_TABLE_ENTRIES,
        series=("zero",),
    ),
    FigureSpec(
        "cow_fault_pages",
        "pages",
        "KSM pages copied because the process wrote to them; the kernel's breaks too, where they "
        "are not told apart. Derived where faults are seen by windows: what ksmd finds to "
        "have left its stable node.",
        needs=_WRITES,
        panel="  written to",
        metric=_COPIES,
        series=("user",),
    ),
    FigureSpec(
        "kernel_break_pages",
        "pages",
        "KSM pages copied because the kernel broke the sharing (run=2, MADV_UNMERGEABLE, prctl); "
        "null where they are not told apart.",
        needs=(*_COPIED, Knowledge.WHO_BROKE),
        metric=_COPIES,
        series=("kernel",),
    ),
)
"""What was done to page table entries, each split in two."""

_NODES = (
    FigureSpec(
        "node_sharers_pages.<sharers>",
        "pages",
        'KSM pages by number of sharers, now: "4" is 3 to 4, "more" above 256.',
        needs=(Knowledge.RMAP_ITEMS,),
    ),
    FigureSpec(
        "stable_node_chains",
        "",
        "As sysfs has it, read last.",
        section="chains of equal KSM pages",
        exactness="sampled",
    ),
    FigureSpec(
        "stable_node_dups",
        "",
        "As sysfs has it, read last: stable nodes in chains.",
        section="KSM pages in chains",
        exactness="sampled",
    ),
    FigureSpec(
        "node_age_p50_seconds",
        "seconds",
        "Half of the stable nodes that there are now are at most so old.",
        needs=(*_APPENDED, Knowledge.TIMES),
        section="median age of a KSM page",
    ),
    FigureSpec(
        "node_age_oldest_seconds",
        "seconds",
        "The age of the oldest stable node.",
        needs=(*_APPENDED, Knowledge.TIMES),
        section="age of the oldest KSM page",
    ),
    FigureSpec(
        "older_node_pages",
        "pages",
        "Nodes that were there when first seen: their ages are lower bounds.",
        needs=_APPENDED,
    ),
    FigureSpec(
        "most_shared[]",
        "",
        "The ten KSM pages with most sharers.",
        needs=(*_APPENDED, Knowledge.RMAP_ITEMS),
        of=(
            FigureSpec("kpfn", "", "Its page frame; null where not seen."),
            FigureSpec("sharer_pages", "pages", "Pages that share it."),
            FigureSpec("age_seconds", "seconds", "Its age.", needs=(Knowledge.TIMES,)),
            FigureSpec("older", "flag", "Its age is a lower bound."),
            FigureSpec(
                "processes[]",
                "",
                "The three processes that share it most.",
                of=(
                    FigureSpec("process", "text", "The guest, or comm and pid."),
                    FigureSpec("pid", "", "Null where not known."),
                    FigureSpec("mm", "text", "Its key in the capture, in hexadecimal."),
                    FigureSpec("pages", "pages", "Of its pages, those that share the KSM page."),
                ),
            ),
            FigureSpec("other_processes", "", "How many more share it."),
        ),
    ),
    FigureSpec(
        "most_shared_at_least",
        "flag",
        "Not all of ksmd's state is known: there may be others, and more sharers.",
        needs=(*_APPENDED, Knowledge.RMAP_ITEMS),
    ),
)

FIGURES = (*TREE, *COPIES, *_NODES)
