"""The mappings that may hold an anonymous page: struct anon_vma of mm/rmap.c, as in 3.10.

Only machines whose daemon walks them keep them (`Memory.anon_owner`); elsewhere a `Vma` has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksmtrace.engine.machine.memory import Mm, Vma


class AnonVma:
    """The mappings under one anon_vma, in the order of its interval tree.

    That is by first page, and of equal ones by when they were linked. A mapping of the engine lies
    at its own offset (vm_pgoff), so that a page has the same number in each of them.
    """

    __slots__ = ("_in_order", "_linked")

    def __init__(self) -> None:
        self._linked: dict[Vma, Mm] = {}
        self._in_order: list[tuple[Vma, Mm]] | None = None

    @property
    def vmas(self) -> list[tuple[Vma, Mm]]:
        """Mappings and their processes, as anon_vma_interval_tree_foreach meets them."""
        if self._in_order is None:
            self._in_order = sorted(self._linked.items(), key=lambda entry: entry[0].start)
        return self._in_order

    def link(self, vma: Vma, mm: Mm) -> None:
        """Put a mapping in (anon_vma_chain_link)."""
        self._linked[vma] = mm
        self._in_order = None
        vma.chain.append(self)

    def unlink(self, vma: Vma) -> None:
        """Take a mapping out; its own list of anon_vmas is left to the caller."""
        del self._linked[vma]
        self._in_order = None


def anon_vma_prepare(vma: Vma, mm: Mm) -> AnonVma:
    """The anon_vma of pages that faults give this mapping, made at the first (anon_vma_prepare).

    There is never a neighbour to take one from: regions do not touch, nor do parts of one.
    """
    if vma.anon_vma is None:
        vma.anon_vma = AnonVma()
        vma.anon_vma.link(vma, mm)
    return vma.anon_vma


def anon_vma_fork(parent: Vma, child: Vma, mm: Mm) -> None:
    """A child's mapping is under all anon_vmas of its parent's, and one of its own.

    anon_vma_fork.
    """
    if parent.anon_vma is None:
        return
    for anon_vma in parent.chain:
        anon_vma.link(child, mm)
    child.anon_vma = AnonVma()
    child.anon_vma.link(child, mm)


def anon_vma_split(vma: Vma, pieces: list[Vma], mm: Mm) -> None:
    """Pieces of a mapping are under all of its anon_vmas, linked anew.

    anon_vma_clone in __split_vma; vma_adjust puts the piece that keeps the struct in anew as well.
    """
    for piece in pieces:
        piece.anon_vma = vma.anon_vma
        for anon_vma in vma.chain:
            anon_vma.link(piece, mm)
    unlink_anon_vmas(vma)


def unlink_anon_vmas(vma: Vma) -> None:
    """A mapping goes (unlink_anon_vmas)."""
    for anon_vma in vma.chain:
        anon_vma.unlink(vma)
    vma.chain.clear()
