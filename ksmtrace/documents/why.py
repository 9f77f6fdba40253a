"""Declares the document of `why`."""

from __future__ import annotations

from ksmtrace.documents.fact import KERNEL_AND_PAGES, VERSION, fact
from ksmtrace.why.decisions import Decision
from ksmtrace.why.kinds import Look
from ksmtrace.why.reason import Reason

_DECISIONS = tuple(one.key for one in Decision)
_REASONS = tuple(one.key for one in Reason)

_KIND = (
    fact("kind", "text", "What it looks like.", one_of=tuple(one.key for one in Look)),
    fact("meaning", "text", "In words."),
    fact("detail", "text", 'More of it, as "realtime ns"; "" for nothing.'),
)

_SHAPE = (
    fact("mapping_start", "text", "As in `mappings[]`."),
    fact("mapping_name", "text", "As in `mappings[]`."),
    fact("pages", "pages", "How many."),
    fact("differing_bytes", "bytes", "Of one page, at most."),
    fact(
        "example",
        "",
        "The first of them.",
        fact("address", "text", "Its address, hexadecimal."),
        fact("other_pid", "count", "The process that has its nearest one."),
        fact("other_name", "text", "Its name."),
        fact("other_address", "text", "Where it has it."),
    ),
    fact(
        "differences[]",
        "",
        "By offset.",
        fact("offset", "bytes", "In the page."),
        fact("length", "bytes", "Of the field."),
        *_KIND,
        fact(
            "monotone",
            "flag",
            "It rises, or falls, from page to page, of three or more.",
        ),
        fact(
            "bytes",
            "text",
            "With `--show-bytes`: what the example has there, hexadecimal. Null without.",
            null=True,
        ),
        fact("other_bytes", "text", "What its nearest one has.", null=True),
    ),
)

WHY = (
    *VERSION,
    fact("complete", "flag", "Every look came to its end."),
    KERNEL_AND_PAGES,
    fact("tunables.<tunable>", "text", "As they stand, in /sys/kernel/mm/ksm."),
    fact(
        "process",
        "",
        "That is asked about.",
        fact("pid", "count", "Its pid."),
        fact("name", "text", "Its name."),
        fact("cgroup", "text", "Its cgroup."),
        fact("vm", "text", 'The guest that it runs; "" for none.'),
        fact(
            "pinned_pages",
            "pages",
            "That it has pinned for good (VmPin): the kernel does not tell which. Null where not "
            "known.",
            null=True,
        ),
    ),
    fact(
        "range",
        "",
        "Addresses that are asked about; null for all.",
        fact("start", "text", "The first, hexadecimal."),
        fact("end", "text", "That behind the last."),
        null=True,
    ),
    fact("looks", "count", "At each page."),
    fact("between_looks_seconds", "seconds", "From the end of the first look to that of the last."),
    fact("passes", "count", "That ksmd ended between the looks."),
    fact(
        "frames_shown",
        "flag",
        "Frame numbers are shown (CAP_SYS_ADMIN): without, merged and huge pages and the zero page "
        "are not known.",
    ),
    fact(
        "ksm_pages_told",
        "flag",
        "The kernel tells KSM pages from others: where it does not, pages that a fork shares may "
        "be called merged.",
    ),
    fact("compared_processes", "count", "Other processes that were looked at."),
    fact("compared_pages", "pages", "Mergeable pages of others that were read."),
    fact(
        "reasons[]",
        "",
        "Pages by the first reason that holds, in the kernel's order.",
        fact("reason", "text", "In a word.", one_of=_REASONS),
        fact("meaning", "text", "In words."),
        fact(
            "kernel_condition",
            "text",
            "Function of mm/ksm.c and what it asks, with the release that brought it; null for "
            "what is not the kernel's.",
            null=True,
        ),
        fact("pages", "pages", "Of this reason."),
        fact("present_pages", "pages", "Those that are there."),
        fact(
            "equal_pages",
            "pages",
            "Those that are equal to another page of the process, or to a mergeable one of "
            "another.",
        ),
    ),
    fact(
        "mappings[]",
        "",
        "Of the process, or of the range, by address.",
        fact("start", "text", "Its first address, hexadecimal."),
        fact("end", "text", "That behind its last."),
        fact("permissions", "text", "As in /proc/PID/maps."),
        fact("name", "text", 'Of its file, or as `[heap]`; "" for none.'),
        fact("mergeable", "flag", "It may merge now (VM_MERGEABLE)."),
        fact(
            "refused_by",
            "text",
            "The flag by which the kernel never lets it merge; null for none.",
            null=True,
        ),
        fact("pages", "pages", "That it has room for."),
        fact("present_pages", "pages", "Those that are there."),
        fact("equal_pages", "pages", "As in `reasons[]`."),
        fact("reasons.<reason>", "pages", "Pages by reason; those with none are left out."),
        fact(
            "last_decisions.<decision>",
            "pages",
            "Anonymous pages by what ksmd decided last of them, as in `capture`; empty without.",
        ),
    ),
    fact(
        "capture",
        "",
        "What ksmd decided last, by `--capture`; null without.",
        fact("file", "text", "The capture."),
        fact("knows_process", "flag", "It has events of the pages of this process."),
        fact(
            "decisions[]",
            "",
            "Anonymous pages by what ksmd decided last.",
            fact("decision", "text", "In a word.", one_of=_DECISIONS),
            fact("meaning", "text", "In words."),
            fact("pages", "pages", "Of which it did."),
        ),
        null=True,
    ),
    fact(
        "merged",
        "",
        "Its merged pages.",
        fact("pages", "pages", "How many."),
        fact("frames", "pages", "KSM pages that they are."),
        fact("mappings", "count", "Page table entries of all processes that map those."),
        fact("most_mappings", "count", "Of one of them."),
        fact(
            "sharers[]",
            "",
            "Other processes that map some, those with most first, at most 1000.",
            fact("pid", "count", "Its pid."),
            fact("name", "text", "Its name."),
            fact("frames", "pages", "KSM pages that both map."),
        ),
    ),
    fact(
        "near",
        "",
        "What its unique pages are nearly equal to; null with `--no-near`.",
        fact("asked_pages", "pages", "Unique pages of which a near one was sought."),
        fact("compared_pages", "pages", "With which they were compared."),
        fact("left_out_pages", "pages", "That were too many to be compared with."),
        fact("near_pages", "pages", "Unique pages that differ from another in 256 bytes or less."),
        fact(
            "kinds[]",
            "",
            "What the differing bytes look like, those of most pages first.",
            *_KIND,
            fact("pages", "pages", "Near pages that differ in some."),
            fact("differing_bytes", "bytes", "That differ, of all of them."),
        ),
        fact(
            "shapes[]",
            "",
            "Near pages of a mapping that differ from their nearest at the same offsets, those of "
            "most pages first, at most 1000.",
            *_SHAPE,
        ),
        fact("watched_pages", "pages", "Changing pages that were watched for a second."),
        fact("changed_pages", "pages", "Those that changed meanwhile, in 256 bytes or less."),
        fact(
            "changes[]",
            "",
            "The same of those, beside what they held before.",
            *_SHAPE,
        ),
        null=True,
    ),
    fact(
        "pages[]",
        "",
        "With `--pages`: stretches of pages of which the same holds, by address, at most 100,000. "
        "Null without.",
        fact("start", "text", "Address of the first, hexadecimal."),
        fact("end", "text", "That behind the last."),
        fact("pages", "pages", "How many."),
        fact("reason", "text", "As in `reasons[]`.", one_of=_REASONS),
        fact("equal_pages", "pages", "Other pages that are equal to each."),
        fact(
            "mappings",
            "count",
            "Page table entries that map the frame of each; null where not known, or not there.",
            null=True,
        ),
        fact("merged_with_pids[]", "count", "Other processes that map the same KSM pages, 20."),
        fact(
            "last_decision",
            "text",
            "As in `capture`; null without, and for what is not anonymous memory.",
            one_of=_DECISIONS,
            null=True,
        ),
        null=True,
    ),
)
