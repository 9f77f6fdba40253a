"""The history of memory in a capture: pages, contents, writes and processes, pass by pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

Place = tuple[int, int]
"""A page: number of its process in the capture, number of the page in its address space."""


class Content:
    """A page's content, known by its checksum alone, and that perhaps later.

    Attributes:
        checksum: None while unknown.
        same_as: another content, when it turns out to be that one.
    """

    __slots__ = ("_votes", "checksum", "same_as")

    def __init__(self, checksum: int | None = None) -> None:
        self.checksum = checksum
        self.same_as: Content | None = None
        self._votes: Counter[int] | None = None

    def vote(self, checksum: int) -> None:
        """Count a checksum of a page that had this content; the most frequent one is the guess."""
        if self._votes is None:
            self._votes = Counter()
        self._votes[checksum] += 1

    def resolve(self) -> Content:
        """The content that this one turned out to be."""
        content = self
        while content.same_as is not None:
            content = content.same_as
        return content

    def known_checksum(self) -> int | None:
        """The checksum, known or guessed; None where there is neither."""
        content = self.resolve()
        if content.checksum is None and content._votes:
            return content._votes.most_common(1)[0][0]
        return content.checksum


@dataclass(slots=True)
class Write:
    """A page is written.

    Attributes:
        content: what it holds afterwards.
        certain: it was written even if its content is the same as before.
        after_forks: a child that was forked in the same interval has the page as it was before.
    """

    content: Content
    certain: bool = False
    after_forks: bool = False


@dataclass(slots=True)
class Interval:
    """What happened between one pass and the next, as far as the latter shows it.

    Attributes:
        appeared: processes that ksmd came to for the first time, in its order.
        unmerged: `run` was set to 2.
        tunables: those that were written, with the values that they had afterwards.
        cleared: pages that lost their frame before they were written again.
        vanished: pages that were gone.
        exited: processes.
        held: pages that could not be merged in the pass that follows.
    """

    appeared: list[Process] = field(default_factory=list)
    unmerged: bool = False
    tunables: dict[str, int] = field(default_factory=dict)
    cleared: set[Place] = field(default_factory=set)
    written: dict[Place, Write] = field(default_factory=dict)
    vanished: set[Place] = field(default_factory=set)
    exited: list[Process] = field(default_factory=list)
    held: set[Place] = field(default_factory=set)

    def write(
        self, place: Place, content: Content, *, certain: bool = False, clear: bool = False
    ) -> None:
        """Note a write; with `clear`, the page had lost its frame before."""
        if place in self.vanished:
            self.vanished.discard(place)
            clear = True
        if clear:
            self.cleared.add(place)
        self.written[place] = Write(content, certain)


@dataclass(slots=True)
class Page:
    """A page as it was last seen.

    Attributes:
        pass_number: the pass in which that was; -1 for none.
        node: key of its stable node, or 0.
        unread: the content of a write that no pass has seen yet.
        zero: it maps the zero page, which ksmd does not examine.
        ever_merged: it has shared a page at some time.
        examined_pfn: page frame when it was examined; 0 where unknown.
        pfn: page frame after that.
        adoptable: it was not merged when it was first seen, so that another process with the same
            frame shares it by a fork.
    """

    content: Content
    pass_number: int = -1
    node: int = 0
    unread: Content | None = None
    zero: bool = False
    ever_merged: bool = False
    examined_pfn: int = 0
    pfn: int = 0
    adoptable: bool = False


@dataclass(slots=True, eq=False)
class Process:
    """A process of the capture.

    Attributes:
        number: counted in the order in which ksmd came to them.
        parent: the process that it was forked from, where that shows.
        pages: those that ksmd knows, by page number.
        related: it was forked, or has forked.
        gone: it exited before the pass that was seen last.
    """

    number: int
    parent: Process | None = None
    pages: dict[int, Page] = field(default_factory=dict)
    related: bool = False
    gone: bool = False

    @property
    def root(self) -> Process:
        """The oldest known ancestor, or the process itself."""
        process = self
        while process.parent is not None:
            process = process.parent
        return process
