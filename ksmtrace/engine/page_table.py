"""A process's page table: 2 MiB blocks of 512 entries each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksmtrace.engine.memory import Frame

BLOCK_SHIFT = 9
BLOCK_MASK = 0x1FF


class PageTable:
    """Page number to frame, for present pages; goes by address within a block. Behaves as a dict does.

    Attributes:
        blocks: number of a block to its 512 entries, None where no page is present.
    """

    __slots__ = ("blocks",)

    def __init__(self) -> None:
        self.blocks: dict[int, list[Frame | None]] = {}

    def get(self, vpn: int) -> Frame | None:
        """The frame of page `vpn`."""
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        return None if block is None else block[vpn & BLOCK_MASK]

    def pop(self, vpn: int) -> Frame | None:
        """Clear an entry; the frame that was there."""
        block = self.blocks.get(vpn >> BLOCK_SHIFT)
        if block is None:
            return None
        frame = block[vpn & BLOCK_MASK]
        block[vpn & BLOCK_MASK] = None
        return frame

    def copy(self) -> PageTable:
        """Another page table with the same entries."""
        copied = PageTable()
        copied.blocks = {number: list(block) for number, block in self.blocks.items()}
        return copied

    def items(self) -> Iterator[tuple[int, Frame]]:
        """Page numbers and frames."""
        for number, block in self.blocks.items():
            for index, frame in enumerate(block):
                if frame is not None:
                    yield number << BLOCK_SHIFT | index, frame

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
            block = self.blocks[vpn >> BLOCK_SHIFT] = [None] * (BLOCK_MASK + 1)
        block[vpn & BLOCK_MASK] = frame

    def __contains__(self, vpn: int) -> bool:
        return self.get(vpn) is not None

    def __iter__(self) -> Iterator[int]:
        return (vpn for vpn, _ in self.items())

    def __len__(self) -> int:
        return sum(1 for _ in self.items())
