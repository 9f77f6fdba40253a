"""The processes behind the mms: their names, cgroups, guests, and the kernel's counters of each."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ksmtrace.events import numbers as kinds
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import ProcessGauge, ProcessText
from ksmtrace.events.record import Records, empty_records

_RENEWS = (kinds.PROCESS, kinds.MM_ENTER, kinds.MM_EXIT)
_SPEAKS = (*_RENEWS, kinds.PROCESS_TEXT, kinds.PROCESS_SAMPLE)

MOST_EXITED = 4096
"""So many processes that have exited are remembered, the latest."""

TEXT_BYTES = 24
"""Bytes of text that one PROCESS_TEXT record holds."""

MOST_TEXT_BYTES = 1024
"""Longer texts are cut."""


@dataclass(slots=True)
class Process:
    """One process, from its mm's registration with ksmd to its exit.

    A later process with the same mm is another `Process`.

    Attributes:
        number: counts processes from 0, in the order in which they were met; never given twice.
        mm: its key in events.
        pid: tgid, or None while no name was seen.
        comm: its name with "?" for what cannot be printed; "" while none was seen.
        cgroup: path of its cgroup below the mount, "" where not known.
        vm: the guest that it runs, when it is a virtual machine monitor; else "".
        gauges: what /proc/<pid>/ksm_stat said last.
        exited: its mm has left ksmd.
    """

    number: int
    mm: int
    pid: int | None = None
    comm: str = ""
    cgroup: str = ""
    vm: str = ""
    gauges: dict[ProcessGauge, int] = field(default_factory=dict)
    exited: bool = False

    @property
    def label(self) -> str:
        """How to call it: the guest, or comm and pid, or the mm."""
        if self.pid is None and not self.vm:
            return f"mm {self.mm:#x}"
        return label_of({**self.to_json(), "vm": self.vm})

    def to_json(self) -> dict[str, Any]:
        """Its identity in the JSON document: mm, and pid and comm, None where no name was seen."""
        return {"pid": self.pid, "comm": self.comm or None, "mm": f"{self.mm:#x}"}


def label_of(process: Mapping[str, Any]) -> str:
    """How to call a process of the JSON document: the guest, if it has "vm", or comm and pid."""
    if process.get("vm"):
        return str(process["vm"])
    return "unknown" if process["pid"] is None else f"{process['comm'] or ''} {process['pid']}"


class ProcessTable:
    """The processes of a run: those alive, and the last `MOST_EXITED` that have exited.

    ksmd comes to an mm once more after its exit, so that an mm stays its process's own until it
    registers again.
    """

    def __init__(self) -> None:
        self._by_mm: dict[int, Process] = {}
        self._exited: dict[int, Process] = {}
        self._made = 0
        self._texts: dict[tuple[int, int], bytearray] = {}

    def __len__(self) -> int:
        return len(self._by_mm)

    def known(self) -> list[Process]:
        """All processes remembered, in the order in which they were met."""
        found = {process.number: process for process in self._by_mm.values()} | self._exited
        return [found[number] for number in sorted(found)]

    def of(self, mm: int) -> Process:
        """The process that has `mm`; a new one when no event has named it yet."""
        process = self._by_mm.get(mm)
        if process is None:
            process = self._by_mm[mm] = Process(self._made, mm)
            self._made += 1
        return process

    def parts(self, batch: EventBatch) -> Iterator[EventBatch]:
        """`batch` in parts, none with two processes of one mm; each is applied before the next."""
        start = 0
        met: dict[int, tuple[int | None, bool]] = {}
        for row in batch.rows(*_RENEWS).tolist():
            mm, kind = int(batch.events["mm"][row]), int(batch.kind[row])
            pid, exited = met.get(mm) or self._state_of(mm)
            named = int(batch.events["aux"][row]) if kind == kinds.PROCESS else pid
            if (kind == kinds.MM_ENTER and exited) or pid not in (None, named):
                if start < row:
                    yield EventBatch(batch.events[start:row])
                start = row
                met.clear()
                named, exited = (None if kind == kinds.MM_ENTER else named), False
            met[mm] = named, exited or kind == kinds.MM_EXIT
        yield EventBatch(batch.events[start:]) if start else batch

    def _state_of(self, mm: int) -> tuple[int | None, bool]:
        process = self._by_mm.get(mm)
        return (None, False) if process is None else (process.pid, process.exited)

    def apply(self, batch: EventBatch) -> None:
        """Follow the events of `batch` that speak of processes."""
        for event in batch.of(*_SPEAKS):
            self._follow(event)

    def _follow(self, event: np.void) -> None:
        mm = int(event["mm"])
        match int(event["kind"]):
            case kinds.PROCESS:
                self._named(mm, int(event["aux"]), printable(_bytes_of(event, 2)))
            case kinds.PROCESS_TEXT:
                self._texted(mm, int(event["address"]), _bytes_of(event, 3))
            case kinds.PROCESS_SAMPLE:
                gauge = int(event["address"])
                if gauge in ProcessGauge.__members__.values():
                    value = int(event["aux"].astype("<i8"))
                    self.of(mm).gauges[ProcessGauge(gauge)] = value
            case kinds.MM_EXIT:
                self._leave(self.of(mm))
            case kinds.MM_ENTER:
                if self.of(mm).exited:
                    self._renew(mm)

    def _named(self, mm: int, pid: int, comm: str) -> None:
        if self.of(mm).pid not in (None, pid):
            self._renew(mm)  # neither the exit nor the registration was seen
        process = self.of(mm)
        process.pid, process.comm = pid, comm

    def _texted(self, mm: int, place: int, piece: bytes) -> None:
        which, offset = place >> 32, place & 0xFFFFFFFF
        if which not in ProcessText.__members__.values():
            return
        text = self._texts.setdefault((mm, which), bytearray())
        del text[offset:]
        text += piece
        if piece.endswith(b"\0"):
            setattr(self.of(mm), ProcessText(which).name.lower(), printable(bytes(text)))
            del self._texts[mm, which]

    def _renew(self, mm: int) -> None:
        process = self._by_mm.pop(mm, None)
        if process is not None:
            self._leave(process)

    def _leave(self, process: Process) -> None:
        process.exited = True
        self._exited[process.number] = process
        if len(self._exited) > MOST_EXITED:
            oldest = self._exited.pop(next(iter(self._exited)))
            if self._by_mm.get(oldest.mm) is oldest:
                del self._by_mm[oldest.mm]


def text_records(mm: int, which: ProcessText, text: str) -> Records:
    """PROCESS_TEXT records that say `text`, at least one; the last ends with a NUL byte."""
    encoded = text.encode("utf-8", "replace")[:MOST_TEXT_BYTES] + b"\0"
    pieces = [encoded[at : at + TEXT_BYTES] for at in range(0, len(encoded), TEXT_BYTES)]
    records = empty_records(len(pieces))
    records["kind"] = kinds.PROCESS_TEXT
    records["mm"] = mm
    for index, piece in enumerate(pieces):
        records["address"][index] = which << 32 | index * TEXT_BYTES
        words = struct.unpack("<3Q", piece.ljust(TEXT_BYTES, b"\0"))
        records["pfn"][index], records["rmap_item"][index], records["aux"][index] = words
    return records


def printable(text: bytes) -> str:
    """A name up to its first NUL, safe to print: "?" for characters that cannot be printed."""
    shown = text.split(b"\0", 1)[0].decode("utf-8", "replace").replace("\ufffd", "?")
    return "".join(c if c.isprintable() else "?" for c in shown)


def _bytes_of(event: np.void, words: int) -> bytes:
    columns = ("pfn", "rmap_item", "aux")[:words]
    return struct.pack(f"<{words}Q", *(int(event[column]) for column in columns))
