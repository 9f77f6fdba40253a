"""Figures of many processes in columns, so that thousands of them add up and are ranked at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ksmtrace.model.items import Ids


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one process or of several; None where not known.

    Attributes:
        saved_bytes, merged_pages, rmap_items: as `Shares` has them, now.
        metadata_bytes: rmap_items, and the process's part of stable nodes.
        zero_pages: KSM-placed zero pages still mapped, as the kernel counts them.
        zero_pages_placed: page table entries that ksmd pointed to the zero page in this run; some
            may be gone again.
        net_saved_bytes: saved_bytes and zero_pages, less metadata_bytes.
        kernel_merging_pages, kernel_profit_bytes: the kernel's own ksm_merging_pages and
            ksm_process_profit.
        examined_pages, skipped_pages, joined_pages: CMP_AND_MERGE_PAGE, SKIPPED, STABLE_APPEND.
        ksmd_cpu_ns: part of ksmd's time.
        user_break_pages, user_break_ns, kernel_break_pages, kernel_break_ns: COW faults by the
            process and by the kernel.
    """

    saved_bytes: int | None = None
    merged_pages: int | None = None
    rmap_items: int | None = None
    metadata_bytes: int | None = None
    zero_pages: int | None = None
    zero_pages_placed: int | None = None
    net_saved_bytes: int | None = None
    kernel_merging_pages: int | None = None
    kernel_profit_bytes: int | None = None
    examined_pages: int | None = None
    skipped_pages: int | None = None
    joined_pages: int | None = None
    ksmd_cpu_ns: int | None = None
    user_break_pages: int | None = None
    user_break_ns: int | None = None
    kernel_break_pages: int | None = None
    kernel_break_ns: int | None = None

    def to_json(self) -> dict[str, float | None]:
        """By name; times in seconds."""
        shown: dict[str, float | None] = {}
        for name in COLUMNS:
            value = getattr(self, name)
            if name.endswith("_ns"):
                shown[f"{name[:-3]}_seconds"] = None if value is None else value / 1e9
            else:
                shown[name] = value
        return shown


COLUMNS = tuple(entry.name for entry in fields(Row))
_AT = {name: index for index, name in enumerate(COLUMNS)}


class Rows:
    """Rows by column. A value that is not known is 0: a sum is of those that are known.

    Args:
        count: rows, nothing known of them.
    """

    def __init__(self, count: int) -> None:
        self._values = np.zeros((count, len(COLUMNS)), dtype=np.int64)
        self._known = np.zeros((count, len(COLUMNS)), dtype=np.bool_)

    def __len__(self) -> int:
        return len(self._values)

    def put(
        self, name: str, values: npt.ArrayLike, where: Ids | Sequence[int] | None = None
    ) -> None:
        """Set a column, in all rows or in the rows `where`."""
        rows = slice(None) if where is None else np.asarray(where, dtype=np.int64)
        self._values[rows, _AT[name]] = values
        self._known[rows, _AT[name]] = True

    def column(self, name: str) -> Ids:
        """A column, 0 where not known; shape (n,)."""
        values: Ids = self._values[:, _AT[name]]
        return values

    def known_of(self, name: str) -> npt.NDArray[np.bool_]:
        """Where a column is known; shape (n,)."""
        known: npt.NDArray[np.bool_] = self._known[:, _AT[name]]
        return known

    def row(self, index: int) -> Row:
        """One row."""
        values, known = self._values[index].tolist(), self._known[index].tolist()
        return Row(*(v if k else None for v, k in zip(values, known, strict=True)))

    def total(self, where: Ids | None = None) -> Row:
        """The sum of all rows, or of the rows `where`."""
        return self.grouped(np.zeros(len(self), dtype=np.int64), 1, where).row(0)

    def grouped(self, group: Ids, count: int, where: Ids | None = None) -> Rows:
        """The sums of rows by `group`, a number below `count` for each; of all or those `where`."""
        chosen = slice(None) if where is None else where
        sums = Rows(count)
        np.add.at(sums._values, group[chosen], self._values[chosen])
        np.logical_or.at(sums._known, group[chosen], self._known[chosen])
        return sums

    def ranked(self) -> Ids:
        """Indices: those that save most first, of those that save the same the most examined."""
        keys = (-self.column("examined_pages"), -self.column("saved_bytes"))
        order: Ids = np.lexsort(keys)
        return order
