"""Encodes writes to the files of /sys/kernel/mm/ksm as TUNABLE records, and decodes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ksmtrace.events.kinds import EventKind, Flag
from ksmtrace.events.record import Records, empty_records

_NAME_BYTES, _HALF_BYTES = 24, 8
_TEXTS: np.dtype[np.void] = np.dtype(
    [
        ("head", "V16"),
        ("text", f"S{_HALF_BYTES}"),
        ("mm", "<u8"),
        ("name", f"S{_NAME_BYTES}"),
        ("text_end", f"S{_HALF_BYTES}"),
    ]
)
"""A TUNABLE record as text: the checksums, `mm`, then address, pfn and rmap_item, and aux."""

_LONG_NAMES = (
    "stable_node_chains_prune_millisecs",
    "advisor_min_pages_to_scan",
    "advisor_max_pages_to_scan",
)
"""Files whose names do not fit; no two of them share their first 24 bytes."""


class TunableWrite(NamedTuple):
    """A write to a file of /sys/kernel/mm/ksm.

    Attributes:
        name: of the file.
        text: what was written, without the white space around it.
        err: 0, or -errno where the kernel refused.
        ts: CLOCK_MONOTONIC in nanoseconds when the write began.
        complete: whether `text` is all that was written; the record holds its first 16 bytes.
    """

    name: str
    text: str
    err: int = 0
    ts: int = 0
    complete: bool = True

    @property
    def number(self) -> int | None:
        """The value of a decimal number; None for other text, and where the kernel refused."""
        plain = self.complete and not self.err and self.text.isascii() and self.text.isdecimal()
        return int(self.text) if plain else None

    @property
    def switches_on(self) -> bool:
        """Whether what the kernel took for a bool is true: the letters that kstrtobool looks at."""
        return self.text[:1] in tuple("1yYtT") or self.text[:2].lower() == "on"


def tunable_records(*writes: TunableWrite) -> Records:
    """The TUNABLE records of `writes`, shape (n,), dtype `RECORD`; `seq` and `cpu` are 0."""
    records = empty_records(len(writes))
    texts = records.view(_TEXTS)
    for index, write in enumerate(writes):
        text = write.text.encode(errors="replace")
        complete = write.complete and len(text) <= 2 * _HALF_BYTES
        records["kind"][index] = EventKind.TUNABLE
        records["ts"][index], records["err"][index] = write.ts, write.err
        records["flags"][index] = 0 if complete else Flag.CUT
        texts["name"][index] = write.name.encode()[:_NAME_BYTES]
        texts["text"][index] = text[:_HALF_BYTES]
        texts["text_end"][index] = text[_HALF_BYTES : 2 * _HALF_BYTES]
    return records


def tunable_writes(events: Records) -> list[TunableWrite]:
    """The writes that the TUNABLE records of `events` hold, in stream order; others are ignored."""
    records = np.ascontiguousarray(events[events["kind"] == EventKind.TUNABLE])
    texts = records.view(_TEXTS)
    return [
        TunableWrite(
            _full_name(name), (begin + end).decode(errors="replace").strip(), err, ts, not cut
        )
        for name, begin, end, err, ts, cut in zip(
            texts["name"].tolist(),
            texts["text"].tolist(),
            texts["text_end"].tolist(),
            records["err"].tolist(),
            records["ts"].tolist(),
            (records["flags"] & Flag.CUT).tolist(),
            strict=True,
        )
    ]


def follow_writes(tunables: dict[str, str], events: Records) -> None:
    """Change `tunables`, present values by name, as `events` say, in their order.

    What the kernel refused, or a record cannot hold, changes nothing.
    """
    for write in tunable_writes(events):
        if write.complete and not write.err:
            tunables[write.name] = write.text


def _full_name(kept: bytes) -> str:
    name = kept.decode(errors="replace")
    long = (one for one in _LONG_NAMES if len(name) == _NAME_BYTES and one.startswith(name))
    return next(long, name)
