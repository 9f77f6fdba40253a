"""Declares the document of `audit`."""

from __future__ import annotations

from ksmtrace.audit.view import BY
from ksmtrace.documents.fact import KERNEL_AND_PAGES, PROCESSES_UNREAD, VERSION, fact
from ksmtrace.figures import FigureSpec

_PAIR = (
    fact("one", "text", "The name of one."),
    fact("other", "text", "The name of the other."),
    fact("ksm_pages", "pages", "KSM pages that both map."),
    fact("bytes", "bytes", "Their size."),
)


def _level(name: str, what: str, named: str) -> FigureSpec:
    return fact(
        name,
        "",
        f"By {what}.",
        fact(
            "groups[]",
            "",
            f"Each {what} that maps merged pages, those with most first, at most 1000.",
            fact("name", "text", named),
            fact("processes", "count", "Of it, that map merged pages."),
            fact("ksm_pages", "pages", "KSM pages that it maps."),
            fact("pages", "pages", "Pages of its processes that map these."),
        ),
        fact("pairs_sharing", "count", "Pairs that have KSM pages in common."),
        fact("pairs[]", "", "Those that have most, at most 1000.", *_PAIR),
    )


AUDIT = (
    *VERSION,
    fact("complete", "flag", "Every process was looked at."),
    KERNEL_AND_PAGES,
    fact(
        "merged_pages_by",
        "text",
        "The file that tells which frames are merged: where `kpageflags` lies it is `kpagecount`, "
        "and what a fork shares is taken for merged.",
        one_of=("kpageflags", "kpagecount"),
    ),
    fact("processes_seen", "count", "Processes that were looked at."),
    fact("processes_sharing", "count", "Those that map merged pages which others map too."),
    _level("processes", "process", "Its name and pid."),
    _level("cgroups", "cgroup", "Its path."),
    _level("vms", "guest", "Its name."),
    _level("users", "user", "The name, or the number of one without."),
    fact(
        "policy",
        "",
        "What `--policy` says of it; null without.",
        fact(
            "domains[]",
            "",
            "Domains with processes.",
            fact("name", "text", 'The domain; "(no domain)" of all that are in none.'),
            fact("processes", "count", "That are in it."),
            fact("ksm_pages", "pages", "KSM pages that it maps."),
        ),
        fact("violations[]", "", "Domains that share and must not, at most 1000.", *_PAIR),
        fact("violations_total", "count", "How many pairs there are."),
        fact(
            "remedies[]",
            "",
            "What keeps those from sharing from now on.",
            fact("who", "text", "The guest, the unit or the process."),
            fact("what", "text", "What to set."),
        ),
        fact("patterns_unmatched[]", "text", "Patterns of the policy that took nobody in."),
        null=True,
    ),
    fact(
        "unasked[]",
        "",
        "Processes with mergeable memory, at most 1000.",
        fact("pid", "count", "Its pid."),
        fact("name", "text", "Its name."),
        fact("by", "text", "Who has asked for it.", one_of=tuple(BY)),
    ),
    PROCESSES_UNREAD,
)
