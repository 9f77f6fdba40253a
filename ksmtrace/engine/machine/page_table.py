"""A process's page table, and what a merging algorithm keeps of each page, in blocks of 512."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from ksmtrace.engine.machine.content import PageData

if TYPE_CHECKING:
    from ksmtrace.engine.machine.memory import Frame, Mm

BLOCK_SHIFT = 9
BLOCK_SIZE = 1 << BLOCK_SHIFT
BLOCK_MASK = BLOCK_SIZE - 1

Change = Callable[[int, PageData], PageData]
"""What a page is to contain, by its number and what it contained; untouched pages are empty."""


class Block:
    """Neighbouring pages of one process: 2 MiB of its address space.

    Attributes:
        mm: the process.
        first: number of the first page.
        frames: by page, the frame that it maps; None where none is present.
        items: by page, what a merging algorithm keeps of it, such as KSM's rmap_item; it may
            outlive the entry. None where nothing is kept.
        number: the block's number in the `PageStore`; -1 without a store.
        frozen: both lists are empty, and the store has what they would hold.
    """

    __slots__ = ("first", "frames", "frozen", "items", "mm", "number")

    def __init__(self, mm: Mm, first: int) -> None:
        self.mm = mm
        self.first = first
        self.frames: list[Frame | None] = [None] * BLOCK_SIZE
        self.items: list[Any] = [None] * BLOCK_SIZE
        self.number = -1
        self.frozen = False


class PageStore(Protocol):
    """Keeps the pages of whole blocks in a form of its own: those blocks are frozen."""

    def add(self, block: Block) -> None:
        """Take note of a new block, which is not frozen."""
        ...

    def remove(self, block: Block) -> None:
        """The process of a block is gone."""
        ...

    def thaw(self, block: Block) -> None:
        """Make frames and items of what is kept of a frozen block."""
        ...

    def is_present(self, block: Block, index: int) -> bool:
        """Whether a page of a frozen block is mapped."""
        ...

    def has_items(self, block: Block, low: int, high: int) -> bool:
        """Whether one of pages `low` to `high` - 1 of a frozen block has an item."""
        ...

    def ksm_page(self, block: Block, index: int) -> Frame | None:
        """The frame of a page of a frozen block, if it is a KSM page."""
        ...

    def write(self, mm: Mm, first: int, end: int, change: Change) -> bool:
        """Write to pages `first` to `end` - 1 of one block, if no frame is needed for that.

        Returns:
            False when nothing was written: the pages must be written to one by one.
        """
        ...


class PageTable:
    """Page number to frame, for present pages only; behaves as a dict does.

    Whoever takes a frame or an item from it thaws its block.

    Attributes:
        blocks: by page number >> BLOCK_SHIFT.
    """

    __slots__ = ("_mm", "_store", "blocks")

    def __init__(self, mm: Mm, store: PageStore | None) -> None:
        self.blocks: dict[int, Block] = {}
        self._mm = mm
        self._store = store

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

    def next_anon(self, first: int, end: int) -> tuple[int, Frame] | None:
        """The first anonymous page from `first` to `end` - 1, and its frame; None without one."""
        blocks = self.blocks
        while first < end:
            block = blocks.get(first >> BLOCK_SHIFT)
            if block is None:
                first = (first | BLOCK_MASK) + 1
                continue
            if block.frozen:
                self.thaw(block)
            frame = block.frames[first & BLOCK_MASK]
            if frame is not None and frame.anon:
                return first, frame
            first += 1
        return None

    def item(self, vpn: int) -> object | None:
        """What is kept of page `vpn`; None where nothing is."""
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        if block is None:
            return None
        if block.frozen:
            self.thaw(block)
        item: object | None = block.items[vpn & BLOCK_MASK]
        return item

    def set_item(self, vpn: int, item: object) -> None:
        """Keep `item` of page `vpn`, which has been mapped before."""
        block = self.blocks[vpn >> BLOCK_SHIFT]
        if block.frozen:
            self.thaw(block)
        block.items[vpn & BLOCK_MASK] = item

    def take_items(self, first: int, end: int) -> Iterator[Any]:
        """What is kept of pages `first` to `end` - 1, by address; dropped as the caller goes on."""
        if first >= end:
            return
        for block in self.blocks_between(first, end):
            low, high = max(first - block.first, 0), min(end - block.first, BLOCK_SIZE)
            if block.frozen:
                assert self._store is not None, "without a store nothing is frozen"
                if not self._store.has_items(block, low, high):
                    continue
                self.thaw(block)
            items = block.items
            for index in range(low, high):
                item = items[index]
                if item is not None:
                    yield item
                    items[index] = None

    def ksm_page(self, vpn: int) -> Frame | None:
        """The frame of page `vpn`, if it is a KSM page."""
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        if block is not None and block.frozen:
            assert self._store is not None, "without a store nothing is frozen"
            return self._store.ksm_page(block, vpn & BLOCK_MASK)
        frame = self.get(vpn)
        return frame if frame is not None and frame.ksm else None

    def thaw(self, block: Block) -> None:
        """Make frames and items of a frozen block."""
        assert self._store is not None, "without a store nothing is frozen"
        self._store.thaw(block)

    def new_block(self, vpn: int) -> Block:
        """A block without pages, for page `vpn`, where there was none."""
        number = vpn >> BLOCK_SHIFT
        block = self.blocks[number] = Block(self._mm, number << BLOCK_SHIFT)
        if self._store is not None:
            self._store.add(block)
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
        """Give `child`, which has none, the same entries; it has no items."""
        for block in self.blocks.values():
            if block.frozen:
                self.thaw(block)
            child.new_block(block.first).frames[:] = block.frames

    def release(self) -> None:
        """The process is gone, and so are its pages and items."""
        if self._store is not None:
            for block in self.blocks.values():
                self._store.remove(block)
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
            assert self._store is not None, "without a store nothing is frozen"
            return self._store.is_present(block, vpn & BLOCK_MASK)
        return block.frames[vpn & BLOCK_MASK] is not None

    def __iter__(self) -> Iterator[int]:
        return (vpn for vpn, _ in self.items())

    def __len__(self) -> int:
        return sum(1 for _ in self.items())
