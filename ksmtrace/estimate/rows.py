"""Where pages stand: per process, cgroup and guest, and in total, each page in one kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from ksmtrace.estimate.looking import Process
from ksmtrace.estimate.pages import Bit, Pages
from ksmtrace.estimate.settled import Contents, Rules, contents, stable_nodes


class Kind(Enum):
    """What a page is; the first that holds. The value is the key in the JSON document."""

    UNREAD = "unread_pages"
    CHANGED = "changed_pages"
    MERGED = "merged_pages"
    ZERO = "zero_pages"
    ACROSS = "equal_across_pages"
    INSIDE = "equal_inside_pages"
    FORKED = "forked_pages"
    UNIQUE = "unique_pages"


MEANINGS = {
    Kind.UNREAD: "not read: gone meanwhile, or the looks were cut short",
    Kind.CHANGED: "changed between the looks: ksmd leaves them alone",
    Kind.MERGED: "merged by KSM already",
    Kind.ZERO: "full of zeroes",
    Kind.ACROSS: "equal to a page of another process",
    Kind.INSIDE: "equal to pages of the same process only",
    Kind.FORKED: "shared with a fork already, and equal to no other page",
    Kind.UNIQUE: "equal to no other page",
}


SHORT = {
    Kind.UNREAD: "not read",
    Kind.CHANGED: "changing",
    Kind.MERGED: "merged",
    Kind.ZERO: "zeroes",
    Kind.ACROSS: "equal across",
    Kind.INSIDE: "equal inside",
    Kind.FORKED: "a fork's alone",
    Kind.UNIQUE: "unique",
}


@dataclass(frozen=True, slots=True)
class Row:
    """The pages of a process, or of several.

    Attributes:
        name: the process's, the cgroup's or the guest's.
        processes: those that it is of.
        looked_at: pages whose content was read.
        kinds: how many of these are of each kind, shape (len(Kind),).
        saved: pages that would be saved if all of `Row`s merged, credited to whose they are: of n
            equal pages on d KSM pages each has (n - d) / n of one.
        advised_saved: the same if only what is mergeable now did.
    """

    name: str
    processes: Sequence[Process]
    looked_at: int
    kinds: npt.NDArray[np.int64]
    saved: float
    advised_saved: float

    def total(self, count: Callable[[Process], int]) -> int:
        """The sum of a count over its processes."""
        return sum(map(count, self.processes))


def kinds_of(pages: Pages) -> npt.NDArray[np.int8]:
    """The kind of each page, as its place in `Kind`, shape (n,)."""
    found = contents(pages, Rules())
    place = {kind: np.int8(at) for at, kind in enumerate(Kind)}
    kinds = np.full(len(pages), place[Kind.UNIQUE], dtype=np.int8)
    has = found.of >= 0
    owners = _owners(pages, found)
    for kind, of_contents in (
        (Kind.FORKED, (found.pages > 1) & ~found.merging),
        (Kind.INSIDE, found.merging & (owners == 1)),
        (Kind.ACROSS, found.merging & (owners > 1)),
    ):
        kinds[has] = np.where(of_contents[found.of[has]], place[kind], kinds[has])
    for kind, bit in (
        (Kind.ZERO, Bit.ZERO),
        (Kind.MERGED, Bit.MERGED),
        (Kind.CHANGED, Bit.CHANGED),
        (Kind.UNREAD, Bit.UNREAD),
    ):
        kinds[pages.has(bit)] = place[kind]
    return kinds


def credits_of(pages: Pages, rules: Rules) -> npt.NDArray[np.float64]:
    """What each page saves once all of `pages` are merged, shape (n,), in pages."""
    found = contents(pages, rules)
    nodes, left = stable_nodes(found.pages, rules.max_page_sharing)
    saved = np.where(found.merging, found.pages - nodes - left, 0) / np.maximum(found.pages, 1)
    credit = np.where(found.of >= 0, saved[found.of] if len(saved) else 0.0, 0.0)
    if rules.use_zero_pages:
        credit[pages.has(Bit.ZERO) & ~pages.has(Bit.CHANGED) & ~pages.has(Bit.UNREAD)] = 1.0
    return credit


def rows_of(processes: Sequence[Process], pages: Pages, rules: Rules) -> list[Row]:
    """A row for each process, in their order."""
    count, unread = len(processes), list(Kind).index(Kind.UNREAD)
    kinds = kinds_of(pages)
    flat = pages.process.astype(np.int64) * len(Kind) + kinds
    table = np.bincount(flat, minlength=count * len(Kind)).reshape(count, len(Kind))
    everyone = np.bincount(pages.process, credits_of(pages, rules), minlength=count)
    advised = pages[pages.has(Bit.ADVISED)]
    now = np.bincount(advised.process, credits_of(advised, rules), minlength=count)
    return [
        Row(
            one.target.name,
            [one],
            int(table[at].sum()) - int(table[at][unread]),
            table[at],
            float(everyone[at]),
            float(now[at]),
        )
        for at, one in enumerate(processes)
    ]


def grouped(rows: Sequence[Row], name_of: Callable[[Process], str]) -> list[Row]:
    """Rows added up by a name; processes without one are in none. Most pages first."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if name := name_of(row.processes[0]):
            groups.setdefault(name, []).append(row)
    found = [added(name, group) for name, group in groups.items()]
    return sorted(found, key=lambda row: -row.total(lambda one: one.present))


def added(name: str, rows: Sequence[Row]) -> Row:
    """The sum of rows."""
    return Row(
        name,
        [process for row in rows for process in row.processes],
        sum(row.looked_at for row in rows),
        np.sum([row.kinds for row in rows], axis=0, dtype=np.int64)
        if rows
        else np.zeros(len(Kind), dtype=np.int64),
        sum(row.saved for row in rows),
        sum(row.advised_saved for row in rows),
    )


def _owners(pages: Pages, found: Contents) -> npt.NDArray[np.int64]:
    """How many processes have pages of each content that merges, shape (c,); 0 of others."""
    of = found.of
    several = np.flatnonzero(of >= 0)
    several = several[found.merging[of[several]]]
    count = int(pages.process.max(initial=0)) + 1
    pairs = np.unique(of[several] * count + pages.process[several])
    return np.bincount(pairs // count, minlength=len(found.pages))
