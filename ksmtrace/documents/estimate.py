"""Declares the document of `estimate`."""

from __future__ import annotations

from ksmtrace.documents.fact import KERNEL_AND_PAGES, PROCESSES_UNREAD, VERSION, fact
from ksmtrace.estimate.estimate import ADVISED, ALL
from ksmtrace.estimate.forecast import GAUGES
from ksmtrace.estimate.rows import MEANINGS, Kind
from ksmtrace.model.verdict import Answer

_OF_A_SAMPLE = (Kind.ACROSS, Kind.INSIDE, Kind.FORKED, Kind.UNIQUE)

_ROW = (
    fact("present_pages", "pages", "Private anonymous pages that are there and could be merged."),
    fact("mergeable_pages", "pages", "Those of mappings that are mergeable now."),
    fact("read_pages", "pages", "Those whose content was read."),
    fact("huge_pages", "pages", "Those that are parts of huge pages."),
    fact("swapped_pages", "pages", "In swap: they are not brought in to be looked at."),
    fact("zero_page_mappings", "pages", "Places where the zero page is mapped."),
    fact(
        "not_mergeable_pages",
        "",
        "Present pages of mappings that the kernel never lets be mergeable.",
        fact("shared", "pages", "Shared memory and shared mappings of files."),
        fact("hugetlb", "pages", "hugetlb."),
        fact("special", "pages", "Of devices and of the kernel."),
    ),
    *(
        fact(
            kind.value,
            "pages",
            f"Read pages that are {MEANINGS[kind]}."
            + (" Null of a sample." if kind in _OF_A_SAMPLE else ""),
            null=kind in _OF_A_SAMPLE,
        )
        if kind is not Kind.UNREAD
        else fact(kind.value, "pages", "Not read: gone meanwhile, or the looks were cut short.")
        for kind in Kind
    ),
    fact(
        "saved_pages",
        "",
        "Pages saved if all of them merged; of n equal ones on d KSM pages each is credited "
        "(n - d) / n. Null of a sample.",
        null=True,
    ),
    fact("mergeable_saved_pages", "", "The same if what is mergeable now merged.", null=True),
)

ESTIMATE = (
    *VERSION,
    fact("complete", "flag", "Every look came to its end."),
    fact("whole", "flag", "All pages were read, and not a sample."),
    fact("share", "ratio", "Of all page frames, those that were read; 1 for all."),
    fact("looks", "count", "At each page."),
    fact("between_looks_seconds", "seconds", "From the end of the first look to that of the last."),
    KERNEL_AND_PAGES,
    fact("tunables.<tunable>", "text", "As they stand, in /sys/kernel/mm/ksm."),
    fact(
        "page_cost",
        "",
        "What ksmd takes for a page on this host.",
        fact("seconds", "seconds", "CPU time."),
        fact("at_least", "flag", "It takes more: this is a checksum alone."),
        fact("via", "text", "How it was measured."),
    ),
    fact("core_worth_bytes", "bytes", "`--core-worth`."),
    fact("total", "", "Of all processes that were looked at.", *_ROW),
    fact(
        "forecasts[]",
        "",
        "What KSM would come to, once it has settled, with use_zero_pages as it is, and as it is "
        "not.",
        fact(
            "memory",
            "text",
            f"`{ADVISED}`: what is mergeable now; `{ALL}`: all that could be.",
            one_of=(ADVISED, ALL),
        ),
        fact("use_zero_pages", "count", "The tunable, 0 or 1."),
        fact("max_page_sharing", "count", "The tunable."),
        fact("pages", "pages", "That ksmd would keep track of."),
        fact("saved_bytes_low", "bytes", "Saved at least, as the kernel counts it."),
        fact(
            "saved_bytes_high",
            "bytes",
            "Saved at most: the same where all was read, else both ends hold in 95 of 100 samples.",
        ),
        fact(
            "freed_bytes_low",
            "bytes",
            "Frames in use now that would be free, at least; null where frames are not shown.",
            null=True,
        ),
        fact("freed_bytes_high", "bytes", "The same at most.", null=True),
        fact("net_bytes_low", "bytes", "Saved at least, less KSM's own bookkeeping."),
        fact("net_bytes_high", "bytes", "The same at most."),
        fact(
            "gauges",
            "",
            "As /sys/kernel/mm/ksm would show them; null of a sample.",
            *(fact(name, "count", f"`{name}`.", null=True) for name in GAUGES),
        ),
        fact("passes", "count", "Of ksmd, until it has settled."),
        fact(
            "pass_seconds", "seconds", "Of one, at the given tunables; null for never.", null=True
        ),
        fact("settled_seconds", "seconds", "Of all of them; null for never.", null=True),
        fact("ksmd_cores", "ratio", "Of a core, that ksmd takes while it looks."),
        fact("verdict", "text", "As of `live`.", one_of=tuple(one.value for one in Answer)),
        fact("verdict_reasons[]", "text", "Why."),
        fact("verdict_change", "text", "What would change it; null for nothing.", null=True),
    ),
    fact(
        "processes[]",
        "",
        "Those with most pages, at most 1000.",
        fact("pid", "count", "Its pid."),
        fact("name", "text", "Its name."),
        fact("cgroup", "text", "Its cgroup."),
        fact("vm", "text", 'The guest that it runs; "" for none.'),
        *_ROW,
    ),
    *(
        fact(
            f"{key}[]",
            "",
            f"Processes by {what}, those with most pages first.",
            fact("name", "text", f"The {what}."),
            fact("processes", "count", "Of it."),
            *_ROW,
        )
        for key, what in (("cgroups", "cgroup"), ("vms", "guest"))
    ),
    PROCESSES_UNREAD,
)
