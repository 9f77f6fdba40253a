"""Where pages went: what became of every page that ksmd examined, or where pages are at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ksmtrace.drawing.palette import CHANGING, GONE, SAVED, SKIPPED, UNIQUE, WAITING
from ksmtrace.drawing.summary import Document

_IN_VAIN = {
    "fork_shared": ("shared by a fork", "nothing to gain until one of them writes"),
    "held": ("locked or pinned", "it cannot be replaced while somebody holds it"),
    "huge_page": ("part of a huge page", "held whole, or not split yet"),
    "chain_full": ("all copies are full", "its twins have max_page_sharing sharers each"),
    "other": ("attempt failed", "written to or unmapped meanwhile, or not told"),
}
"""By cause of the analyzer `volatile`: what it is called, and why such a page is not merged."""


@dataclass(frozen=True, slots=True)
class Branch:
    """Pages of one destination.

    Attributes:
        name: where they are, in a few words.
        pages: how many.
        colour: of the state that it is.
        meaning: what that says, in one line.
    """

    name: str
    pages: int
    colour: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Flow:
    """Where pages went.

    Attributes:
        title: what is shown.
        branches: destinations with pages; none where nothing is known.
        note: what it is not, and why; "" where nothing is to be said.
    """

    title: str
    branches: tuple[Branch, ...]
    note: str = ""

    @property
    def pages(self) -> int:
        """All of them."""
        return sum(branch.pages for branch in self.branches)


def flow_of(document: Document) -> Flow:
    """What became of each page examined; where that is not seen, where pages are at the end."""
    found = document["analyzers"].get("volatile", {})
    if found.get("placed_stable_pages") is not None:
        return _examined(found)
    counters = document["counters"]
    shared, sharing, unshared, volatile = (
        counters.get(f"pages_{name}") for name in ("shared", "sharing", "unshared", "volatile")
    )
    unseen = "What became of each page that ksmd examined is not known: this run does not see it."
    if None in (shared, sharing, unshared, volatile):
        return Flow("Where pages went", (), f"{unseen} Nor were the kernel's counters read.")
    return _flow(
        "Where mergeable pages are at the end, by the kernel's counters",
        [
            Branch("saved", sharing, SAVED, "a page that is kept stands for it"),
            Branch("copies kept", shared, SAVED, "the KSM pages themselves"),
            Branch("unique", unshared, UNIQUE, "unchanged, and like no other so far"),
            Branch(
                "neither merged nor unique",
                volatile,
                CHANGING,
                "changing, held, or not looked at twice",
            ),
        ],
        unseen,
        "KSM keeps track of no page.",
    )


def _examined(found: dict[str, Any]) -> Flow:
    causes = {name: one["examined_pages"] or 0 for name, one in (found["causes"] or {}).items()}
    in_vain = {name: causes.get(name, 0) for name in _IN_VAIN}
    chain_full = in_vain["chain_full"]
    unplaced = sum(in_vain.values()) - chain_full
    # Where the causes are not known, nobody can say which of the unplaced pages were zeros.
    zero_pages = max(0, (found["unplaced_pages"] or 0) - unplaced) if causes else 0
    branches = [
        Branch("merged", found["placed_stable_pages"], SAVED, "stays merged, or was merged now"),
        Branch("zero page", zero_pages, SAVED, "the kernel's page of zeros stands for it"),
        Branch(
            "unique",
            max(0, found["placed_unstable_pages"] - chain_full),
            UNIQUE,
            "unchanged, and like no other so far",
        ),
        Branch(
            "first look", found["first_look_pages"] or 0, WAITING, "whether it changes is seen next"
        ),
        Branch(
            "changing", found["changed_pages"] or 0, CHANGING, "in vain: written to between looks"
        ),
        *(
            Branch(name, in_vain[cause], GONE, f"in vain: {meaning}")
            for cause, (name, meaning) in _IN_VAIN.items()
        ),
        Branch("gone", found["freed_pages"] or 0, GONE, "unmapped or exited meanwhile"),
    ]
    known = sum(branch.pages for branch in branches)
    branches += [
        Branch("not told", max(0, found["examined_pages"] - known), GONE, "not told by this run"),
        Branch(
            "passed over", found["skipped_pages"] or 0, SKIPPED, "by smart scan: it costs nothing"
        ),
    ]
    note = "A page counts each time that ksmd comes to it."
    return _flow("Where every page that ksmd came to went", branches, note, "ksmd came to no page.")


def _flow(title: str, branches: list[Branch], note: str, none: str) -> Flow:
    met = tuple(branch for branch in branches if branch.pages)
    return Flow(title, met, note if met else f"{none} {note}")
