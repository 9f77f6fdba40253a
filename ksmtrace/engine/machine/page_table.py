"""A process's page table: 2 MiB blocks of 512 entries each, and the rmap_items of the same pages beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksmtrace.engine.bulk.columns import Columns
    from ksmtrace.engine.ksm.rmap_item import RmapItem
    from ksmtrace.engine.machine.memory import Frame, Mm

BLOCK_SHIFT = 9
BLOCK_SIZE = 1 << BLOCK_SHIFT
BLOCK_MASK = BLOCK_SIZE - 1


class Block:
    """Neighbouring pages of one process.

    Attributes:
        mm: the process.
        first: number of the first page.
        frames: by page, the frame that it maps; None where none is present.
        items: by page, its rmap_item, which may outlive the entry.
        number: of its part of `Columns`; -1 in the plain mode.
        frozen: both lists are empty, and `Columns` has what they would hold.
    """

    __slots__ = ("first", "frames", "frozen", "items", "mm", "number")

    def __init__(self, mm: Mm, first: int) -> None:
        self.mm = mm
        self.first = first
        self.frames: list[Frame | None] = [None] * BLOCK_SIZE
        self.items: list[RmapItem | None] = [None] * BLOCK_SIZE
        self.number = -1
        self.frozen = False


class PageTable:
    """Page number to frame, for present pages only; behaves as a dict does. Whoever takes a frame from it thaws its block.

    Attributes:
        blocks: by page number >> BLOCK_SHIFT.
    """

    __slots__ = ("_columns", "_mm", "blocks")

    def __init__(self, mm: Mm, columns: Columns | None) -> None:
        self.blocks: dict[int, Block] = {}
        self._mm = mm
        self._columns = columns

    def get(self, vpn: int) -> Frame | None:
        """The frame of page `vpn`."""
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        if block is None:
            return None
        if block.frozen:
            self.thaw(block)
        return block.frames[vpn & BLOCK_MASK]

    def pop(self, vpn: int) -> Frame | None:
        """Clear an entry; the frame that was there."""
        if vpn not in self:
            return None
        frame = self.get(vpn)
        self.blocks[vpn >> BLOCK_SHIFT].frames[vpn & BLOCK_MASK] = None
        return frame

    def item(self, vpn: int) -> RmapItem | None:
        """The rmap_item of page `vpn`."""
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        if block is None:
            return None
        if block.frozen:
            self.thaw(block)
        return block.items[vpn & BLOCK_MASK]

    def ksm_page(self, vpn: int) -> Frame | None:
        """The frame of page `vpn`, if it is a KSM page."""
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        if block is not None and block.frozen:
            assert self._columns is not None, "the plain mode freezes nothing"
            return self._columns.ksm_page(block, vpn & BLOCK_MASK)
        frame = self.get(vpn)
        return frame if frame is not None and frame.ksm else None

    def thaw(self, block: Block) -> None:
        """Make objects of the pages of a frozen block."""
        assert self._columns is not None, "the plain mode freezes nothing"
        self._columns.thaw(block)

    def new_block(self, vpn: int) -> Block:
        """A block without pages, for page `vpn`, where there was none."""
        number = vpn >> BLOCK_SHIFT
        block = self.blocks[number] = Block(self._mm, number << BLOCK_SHIFT)
        if self._columns is not None:
            self._columns.add(block)
        return block

    def blocks_between(self, first: int, end: int) -> list[Block]:
        """The blocks of pages `first` to `end` - 1, by address."""
        low, high = first >> BLOCK_SHIFT, (end - 1) >> BLOCK_SHIFT
        if high - low < len(self.blocks):
            numbers = [number for number in range(low, high + 1) if number in self.blocks]
        else:
            numbers = sorted(number for number in self.blocks if low <= number <= high)
        return [self.blocks[number] for number in numbers]

    def copy_to(self, child: PageTable) -> None:
        """Give `child`, which has none, the same entries; it has no rmap_items."""
        for block in self.blocks.values():
            if block.frozen:
                self.thaw(block)
            child.new_block(block.first).frames[:] = block.frames

    def release(self) -> None:
        """The process is gone, and so are its pages and rmap_items."""
        if self._columns is not None:
            for block in self.blocks.values():
                self._columns.remove(block)
        self.blocks.clear()

    def items(self) -> Iterator[tuple[int, Frame]]:
        """Page numbers and frames."""
        for block in tuple(self.blocks.values()):
            if block.frozen:
                self.thaw(block)
            for index, frame in enumerate(block.frames):
                if frame is not None:
                    yield block.first | index, frame

    def values(self) -> Iterator[Frame]:
        """Frames, each as often as it is mapped."""
        return (frame for _, frame in self.items())

    def __getitem__(self, vpn: int) -> Frame:
        frame = self.get(vpn)
        if frame is None:
            raise KeyError(vpn)
        return frame

    def __setitem__(self, vpn: int, frame: Frame) -> None:
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        if block is None:
            block = self.new_block(vpn)
        elif block.frozen:
            self.thaw(block)
        block.frames[vpn & BLOCK_MASK] = frame

    def __contains__(self, vpn: int) -> bool:
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        if block is None:
            return False
        if block.frozen:
            assert self._columns is not None, "the plain mode freezes nothing"
            return self._columns.is_present(block, vpn & BLOCK_MASK)
        return block.frames[vpn & BLOCK_MASK] is not None

    def __iter__(self) -> Iterator[int]:
        return (vpn for vpn, _ in self.items())

    def __len__(self) -> int:
        return sum(1 for _ in self.items())
