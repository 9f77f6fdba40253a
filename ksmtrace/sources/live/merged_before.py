"""Pages that KSM had merged before the trace began, read from pagemap once."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ksmtrace.errors import HostError
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records, empty_records
from ksmtrace.kernel.address_spaces import AddressSpace, read_address_spaces
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.pagemap import KsmPageReader, KsmPages, ksm_page_file
from ksmtrace.session import Exactness, Probe

_MOST_NAMED = 10


def snapshot_probe() -> Probe:
    """How SNAPSHOT events are read here."""
    try:
        file = ksm_page_file()
    except OSError as error:
        return Probe("", Exactness.ABSENT, f"page frames cannot be read here: {error}")
    if file == "kpageflags":
        return Probe(
            "/proc/<pid>/pagemap, /proc/kpageflags",
            Exactness.SAMPLED,
            "pages change while they are read; "
            "what was written to since the last pass is in the gauges still",
        )
    return Probe(
        "/proc/<pid>/pagemap, /proc/kpagecount",
        Exactness.SAMPLED,
        "KPF_KSM lies on this kernel: frames mapped more than once are taken for KSM pages",
    )


class MergedBefore:
    """SNAPSHOT events of all KSM pages of all processes, read as they are asked for.

    Args:
        seen: whether anything is to be read.
        named: whether processes are named, by PROCESS records before their pages.

    Attributes:
        warnings: what was not read, one line each.
    """

    def __init__(self, *, seen: bool, named: bool = False) -> None:
        self._reader = KsmPageReader() if seen else None
        self._named = named
        self._spaces: dict[int, AddressSpace] = {}
        self._owner: dict[int, int] = {}  # the pid by which an mm's pages are read, by mm
        self.warnings: list[str] = []

    def batches(self) -> Iterator[EventBatch]:
        """The events, with an empty batch wherever none of the pages just looked at is merged.

        A second call gives nothing.
        """
        reader, self._reader = self._reader, None
        if reader is None:
            return
        if self._named:
            self._read_spaces()
        try:
            for pages in reader.pieces():
                yield EventBatch(self._records(pages))
        except OSError as error:
            self.warnings.append(f"what was merged before was not read to its end: {error}")
        if reader.left_out:
            named = ", ".join(map(str, reader.left_out[:_MOST_NAMED]))
            more = ", …" if len(reader.left_out) > _MOST_NAMED else ""
            self.warnings.append(
                "what was merged before was read in part: the address spaces are too large for "
                f"this kernel (PAGEMAP_SCAN came with 6.7); something is missing of pid {named}"
                f"{more}"
            )

    def exits(self, events: Records) -> npt.NDArray[np.bool_]:
        """Which events say that a process has gone whose pages were read; shape (n,)."""
        owners = np.fromiter(self._owner, dtype=np.uint64, count=len(self._owner))
        found: npt.NDArray[np.bool_] = (events["kind"] == EventKind.MM_EXIT) & np.isin(
            events["mm"], owners
        )
        return found

    def cut(self) -> None:
        """Nobody reads on: the run ended."""
        self.warnings.append("what was merged before was not read to its end: the run ended")

    def _read_spaces(self) -> None:
        try:
            btf = Btf()
            try:
                self._spaces = read_address_spaces(btf)
            finally:
                btf.close()
        except (HostError, OSError) as error:
            self.warnings.append(f"what was merged before is nobody's: {error}")

    def _records(self, pages: KsmPages) -> Records:
        """What a piece tells; nothing where its pages were read by another pid of the same mm."""
        if not len(pages.pid):
            return empty_records()
        pid = int(pages.pid[0])
        space = self._spaces.get(pid)
        named = empty_records()
        if space is not None:
            if space.mm not in self._owner:
                named = _name(space, pid)
            if self._owner.setdefault(space.mm, pid) != pid:
                return empty_records()
        records = empty_records(len(pages.pid))
        records["kind"] = EventKind.SNAPSHOT
        records["ts"] = time.monotonic_ns()
        records["mm"] = 0 if space is None else space.mm
        records["address"] = pages.address
        records["pfn"] = pages.pfn
        records["aux"] = pages.pid
        return np.concatenate([named, records])


def _name(space: AddressSpace, pid: int) -> Records:
    record = empty_records(1)
    record["kind"] = EventKind.PROCESS
    record["ts"] = time.monotonic_ns()
    record["mm"], record["aux"] = space.mm, pid
    record["pfn"], record["rmap_item"] = struct.unpack("<2Q", space.comm)
    return record
