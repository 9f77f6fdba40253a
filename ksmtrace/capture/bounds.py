"""How large a recording may become, and which of its files are kept."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass

from ksmtrace.errors import KsmtraceError

SEGMENT_BYTES = 256 << 20
LEAST_SEGMENT_BYTES = 1 << 20
"""A smaller one would hold little besides the names of the processes."""
MOST_KEPT = 9999


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of a recording; none by default.

    Attributes:
        most_bytes: of all its files together; None for any.
        keep: how many segments are kept, the oldest being removed as a new one begins; None for
            all, so that a recording that has reached `most_bytes` is over.
    """

    most_bytes: int | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        if self.keep is not None and not 2 <= self.keep <= MOST_KEPT:
            raise KsmtraceError(
                f"--keep {self.keep}: a recording keeps 2 to {MOST_KEPT} of its last segments"
            )
        if self.most_bytes is not None and self.segment_bytes < LEAST_SEGMENT_BYTES:
            least = LEAST_SEGMENT_BYTES * (self.keep or 1) >> 20
            raise KsmtraceError(f"--max-size is too small: give {least}M or more")

    @property
    def segment_bytes(self) -> int:
        """The size that a segment may reach."""
        if self.most_bytes is None:
            return SEGMENT_BYTES
        return min(SEGMENT_BYTES, self.most_bytes) if self.keep is None else self._share

    @property
    def _share(self) -> int:
        return (self.most_bytes or 0) // (self.keep or 1)


class KeptFiles:
    """The finished segments of a recording, oldest first, as far as they are kept."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._files: list[tuple[str, int]] = []

    @property
    def paths(self) -> list[str]:
        """Where they are."""
        return [path for path, _ in self._files]

    def add(self, path: str, size: int) -> None:
        """A segment of `size` bytes is finished; old ones give way to it and to the next."""
        self._files.append((path, size))
        while self._bounds.keep is not None and len(self._files) >= self._bounds.keep:
            self._remove_oldest()

    def fits(self, size: int) -> bool:
        """Whether the segment that is written to may have `size` bytes.

        Where segments are kept in turn, old ones give way to it.
        """
        most = self._bounds.most_bytes
        if most is None:
            return True
        while self._bounds.keep is not None and self._files and self._bytes + size > most:
            self._remove_oldest()
        return self._bounds.keep is not None or self._bytes + size <= most

    def forget(self) -> None:
        """Leave the files to others: the recording goes on elsewhere."""
        self._files.clear()

    @property
    def _bytes(self) -> int:
        return sum(size for _, size in self._files)

    def _remove_oldest(self) -> None:
        path, _ = self._files.pop(0)
        with suppress(FileNotFoundError):
            os.unlink(path)


def later_segments(path: str) -> list[str]:
    """Files that are named as further segments of the capture at `path`, in their order.

    Raises:
        OSError: its directory cannot be read.
    """
    directory, name = os.path.split(path)
    pattern = re.compile(re.escape(name) + r"\.(\d{4,})")
    found = (
        (int(match[1]), entry)
        for entry in os.listdir(directory or os.curdir)
        if (match := pattern.fullmatch(entry))
    )
    return [os.path.join(directory, entry) for _, entry in sorted(found)]
