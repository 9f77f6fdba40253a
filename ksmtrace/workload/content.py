"""Contents of pages, as workload files write them: `zero`, `byte:N`, `twin:S`, `unique:S`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from ksmtrace.engine.machine.checksum import PAGE_SIZE

_WORD_SIZE = 8
_LIMITS = {"byte": 2**8, "twin": 2**64, "unique": 2**32}
_FORM = re.compile(r"(byte|twin|unique):([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Content:
    """What a page of a region holds: one word of 8 bytes, little endian, over and over.

    Attributes:
        kind: "zero", "byte", "twin" or "unique".
        seed: the number behind the colon; 0 for "zero".
    """

    kind: str
    seed: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """The content that `text` names.

        Raises:
            ValueError: it names none.
        """
        if text == "zero":
            return cls("zero")
        match = _FORM.fullmatch(text)
        if match is None:
            raise ValueError(f"content {text[:40]!r} is not zero, byte:N, twin:S or unique:S")
        kind, seed = match[1], int(match[2])
        if seed >= _LIMITS[kind]:
            raise ValueError(f"content {text!r}: the number must be below {_LIMITS[kind]}")
        return cls(kind, seed)

    def __str__(self) -> str:
        return self.kind if self.kind == "zero" else f"{self.kind}:{self.seed}"

    def word(self, index: int) -> int:
        """The word that page `index` of the region repeats."""
        match self.kind:
            case "zero":
                return 0
            case "byte":
                return int.from_bytes(bytes([self.seed]) * _WORD_SIZE, "little")
            case "twin":
                return self.seed
        return self.seed << 32 | index

    def __call__(self, index: int) -> bytes:
        """All bytes of page `index` of the region."""
        return self.word(index).to_bytes(_WORD_SIZE, "little") * (PAGE_SIZE // _WORD_SIZE)
