"""Pages as NumPy columns: those private to one process, and KSM pages, as ksmd left them.

Each block of a page table has its part of every column, and is either frozen, when the columns hold
what there is to know, or thawed, when frames and rmap_items do. What looks at a single page thaws
its block; ksmd freezes it again when it comes by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ksmtrace.engine.bulk.stored_node import StoredNode, StoredNodes
from ksmtrace.engine.ksm.rmap_item import RmapItem, Tree
from ksmtrace.engine.ksm.stable_node import Place
from ksmtrace.engine.machine.memory import Frame
from ksmtrace.engine.machine.page_table import BLOCK_SHIFT, BLOCK_SIZE, Block, Change

if TYPE_CHECKING:
    from ksmtrace.engine.ksm.state import Cursor
    from ksmtrace.engine.machine.memory import Memory, Mm

_FIRST_BLOCKS = 8


class State:
    """What a page of a frozen block is, and in which tree its rmap_item; numbers, as in `Done`."""

    ABSENT: Final = 0
    ZERO: Final = 1
    """Maps the zero page; has no rmap_item."""
    ALONE: Final = 2
    """Private, and in neither tree."""
    UNSTABLE: Final = 3
    KSM: Final = 4
    """A KSM page, and in the stable tree."""


_DTYPES = {
    "state": np.uint8,
    "age": np.uint8,
    "remaining_skips": np.uint8,
    "seqnr": np.uint8,
    "content": np.int32,
    "node": np.int32,
    "pfn": np.uint32,
    "oldchecksum": np.uint32,
    "key": np.uint64,
}

_Row = tuple[int, int, int, int, int, int, int, int, int]
_NOTHING: _Row = (State.ABSENT, 0, 0, 0, 0, -1, 0, 0, 0)


class Columns:
    """A `PageStore`: columns of all blocks.

    A slot is a block's number << BLOCK_SHIFT plus the page's place in it.

    Args:
        memory: whose pages these are.
        scan: the cursor of ksmd.

    Attributes:
        state: `State`.
        age, remaining_skips, seqnr, oldchecksum: as `RmapItem` has them.
        key: of the rmap_item; 0 without one.
        content: `PageData.number`.
        pfn: frame number of a private page.
        node: for KSM pages, the number of the stable node.
        blocks: by number.
        mm_key, first: of each block, the process's key and the first page's number.
        frozen: whether each block is.
        nodes: the stable nodes that have numbers.
        one_by_one: a block in which pages must be examined one by one for the rest of the pass.
    """

    def __init__(self, memory: Memory, scan: Cursor) -> None:
        self._memory = memory
        self._scan = scan
        self.state: npt.NDArray[np.uint8]
        self.age: npt.NDArray[np.uint8]
        self.remaining_skips: npt.NDArray[np.uint8]
        self.seqnr: npt.NDArray[np.uint8]
        self.content: npt.NDArray[np.int32]
        self.node: npt.NDArray[np.int32]
        self.pfn: npt.NDArray[np.uint32]
        self.oldchecksum: npt.NDArray[np.uint32]
        self.key: npt.NDArray[np.uint64]
        for name, dtype in _DTYPES.items():
            setattr(self, name, np.zeros(_FIRST_BLOCKS * BLOCK_SIZE, dtype))
        self.blocks: list[Block | None] = []
        self.mm_key = np.zeros(_FIRST_BLOCKS, np.uint64)
        self.first = np.zeros(_FIRST_BLOCKS, np.uint64)
        self.frozen = np.zeros(_FIRST_BLOCKS, np.bool_)
        self._free: list[int] = []
        self.one_by_one: Block | None = None
        self.nodes = StoredNodes()

    def add(self, block: Block) -> None:
        """Give a new block its number; it stays thawed."""
        if self._free:
            block.number = self._free.pop()
            self.blocks[block.number] = block
        else:
            block.number = len(self.blocks)
            self.blocks.append(block)
            if block.number == len(self.frozen):
                self._grow()
        self.mm_key[block.number] = block.mm.key
        self.first[block.number] = block.first

    def remove(self, block: Block) -> None:
        """The pages and the rmap_items of a thawed block are gone, and it goes too."""
        self.blocks[block.number] = None
        self._free.append(block.number)

    def item(self, slot: int) -> RmapItem:
        """The rmap_item at a slot."""
        block = self.blocks[slot >> BLOCK_SHIFT]
        assert block is not None, "a block stays as long as it has rmap_items"
        if block.frozen:
            self.thaw(block)
        item = block.items[slot & BLOCK_SIZE - 1]
        assert isinstance(item, RmapItem), "there is an rmap_item at this slot"
        return item

    def is_present(self, block: Block, index: int) -> bool:
        """Whether a page of a frozen block is mapped."""
        return self.state.item(block.number << BLOCK_SHIFT | index) != State.ABSENT

    def has_items(self, block: Block, low: int, high: int) -> bool:
        """Whether pages `low` to `high` - 1 of a frozen block have rmap_items."""
        first = block.number << BLOCK_SHIFT
        return bool(self.key[first + low : first + high].any())

    def write(self, mm: Mm, first: int, end: int, change: Change) -> bool:
        """Write to pages of a frozen block, if none of them is in a tree or would be copied."""
        block = mm.ptes.blocks.get(first >> BLOCK_SHIFT)
        if block is None:
            block = mm.ptes.new_block(first)
            self.clear(block)
        if not block.frozen:
            return False
        slot = (block.number << BLOCK_SHIFT) + first - block.first
        slots = slice(slot, slot + end - first)
        state = self.state[slots]
        writable = (state == State.ABSENT) | (state == State.ALONE)
        old_tree = self.seqnr[slots] != self._scan.seqnr & 0xFF
        writable |= (state == State.UNSTABLE) & old_tree
        if not writable.all():
            return False
        memory = self._memory
        absent = np.flatnonzero(state == State.ABSENT)
        self.content[slots][absent] = memory.pool.zero.number
        contents = memory.pool.contents
        old = [contents[number] for number in self.content[slots].tolist()]
        self.content[slots] = [change(vpn, data).number for vpn, data in enumerate(old, first)]
        start = memory.new_frames(len(absent))
        self.pfn[slots][absent] = np.arange(start, start + len(absent))
        state[absent] = State.ALONE
        return True

    def ksm_page(self, block: Block, index: int) -> Frame | None:
        """The frame of a page of a frozen block, if it is a KSM page."""
        slot = block.number << BLOCK_SHIFT | index
        if self.state.item(slot) != State.KSM:
            return None
        node = self.nodes.by_number[self.node.item(slot)]
        assert node is not None, "a node stays as long as it has rmap_items"
        return node.kpage

    def slots(self, block: Block) -> slice:
        """The slots of a block."""
        return slice(block.number << BLOCK_SHIFT, (block.number + 1) << BLOCK_SHIFT)

    def freeze(self, block: Block) -> bool:
        """Take over a thawed block.

        Returns:
            False, and nothing has changed, when one of its pages is neither absent, private nor
            settled as a KSM page.
        """
        rows = []
        for frame, item in zip(block.frames, block.items, strict=True):
            row = self._row(frame, item)
            if row is None:
                return False
            rows.append(row)
        slots = self.slots(block)
        for name, values in zip(_DTYPES, zip(*rows, strict=True), strict=True):
            getattr(self, name)[slots] = values
        for frame, item in zip(block.frames, block.items, strict=True):
            if frame is not None and item is not None and item.head is not None:
                del item.head.items[item]
                frame.mapped -= 1
        self.be_frozen(block)
        return True

    def be_frozen(self, block: Block) -> None:
        """The columns of a thawed block have been written."""
        block.frames, block.items = [], []
        block.frozen = True
        self.frozen[block.number] = True

    def clear(self, block: Block) -> None:
        """Freeze a new block, which has no pages yet."""
        slots = self.slots(block)
        for name in _DTYPES:
            getattr(self, name)[slots] = 0
        self.be_frozen(block)

    def thaw(self, block: Block) -> None:
        """Make frames and rmap_items of a frozen block."""
        slots = self.slots(block)
        rows = zip(*(getattr(self, name)[slots].tolist() for name in _DTYPES), strict=True)
        block.frozen = False
        self.frozen[block.number] = False
        for vpn, row in enumerate(rows, block.first):
            frame, item = self._objects(block, vpn, row)
            block.frames.append(frame)
            block.items.append(item)

    def _grow(self) -> None:
        for name in ("mm_key", "first", "frozen", *_DTYPES):
            old = getattr(self, name)
            new = np.zeros(2 * len(old), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _row(self, frame: Frame | None, item: RmapItem | None) -> _Row | None:
        if frame is None or not frame.anon:
            state = State.ABSENT if frame is None else State.ZERO
            return None if item is not None else (state, *_NOTHING[1:])
        node: StoredNode | None = frame.stable_node
        if node is not None:
            if item is None or item.head is not node or node.place is Place.MIGRATING or node.nid:
                return None
            return (State.KSM, *_of_item(item)[1:4], frame.data.number, self.nodes.number_of(node),
                    0, item.oldchecksum, item.key)  # fmt: skip
        plain = frame.mapcount == 1 and frame.exclusive and not frame.ksm and not frame.references
        if not plain or frame.compound is not None or frame.nid:
            return None
        if item is None:
            return State.ALONE, 0, 0, 0, frame.data.number, -1, frame.pfn, 0, 0
        if item.head is not None or item.nid:
            return None
        return (*_of_item(item), frame.data.number, -1, frame.pfn, item.oldchecksum, item.key)

    def _objects(self, block: Block, vpn: int, row: _Row) -> tuple[Frame | None, RmapItem | None]:
        state, age, skips, seqnr, content, number, pfn, checksum, key = row
        if state <= State.ZERO:
            return (None if state == State.ABSENT else self._memory.zero_page), None
        data = self._memory.pool.contents[content]
        item = None
        if key:
            item = RmapItem(key, block.mm, vpn)
            item.age, item.remaining_skips, item.seqnr = age, skips, seqnr
            item.oldchecksum = checksum
            item.tree = (Tree.NEITHER, Tree.UNSTABLE, Tree.STABLE)[state - State.ALONE]
            item.rb_key = data.unit
        if state < State.KSM:
            frame = Frame(pfn, data, 0)
            frame.mapped = 1
            return frame, item
        node = self.nodes.by_number[number]
        assert node is not None, "a node stays as long as it has rmap_items"
        assert item is not None, "so has every KSM page of a frozen block"
        item.head = node
        node.items[item] = None
        kpage = node.kpage
        assert kpage is not None, "no frozen page is a chain's"
        kpage.mapped += 1
        return kpage, item


def _of_item(item: RmapItem) -> tuple[int, int, int, int]:
    return State.ALONE + item.tree, item.age, item.remaining_skips, item.seqnr
