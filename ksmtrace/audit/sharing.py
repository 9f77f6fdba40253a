"""Which frames that KSM has merged each process maps, from pagemap and kpageflags."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ksmtrace.errors import HostError
from ksmtrace.estimate.targets import Target
from ksmtrace.kernel.files import read_lines
from ksmtrace.kernel.mappings import read_mappings
from ksmtrace.kernel.mergeable import read_merge_any
from ksmtrace.kernel.page_table import (
    EXCLUSIVE,
    Kpf,
    PageTable,
    anonymous,
    frame_counts,
    frame_flags,
    frames,
)
from ksmtrace.kernel.pagemap import ksm_page_file
from ksmtrace.kernel.sysfs import ROOT

Words = npt.NDArray[np.uint64]


@dataclass(slots=True)
class Sharer:
    """A process, and the merged frames that it maps.

    Attributes:
        uid: its effective user.
        parent: pid of its parent.
        merge_any: all its memory is mergeable (PR_SET_MEMORY_MERGE); None where the kernel does not
            tell (before 6.10).
        advised: a mapping of it is mergeable.
        frames: distinct ones, sorted.
        pages: pages that map these.
        unread: "" or why its page table was not read.
    """

    target: Target
    uid: int
    parent: int
    merge_any: bool | None
    advised: bool = False
    frames: Words = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    pages: int = 0
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Sharing:
    """What was found.

    Attributes:
        sharers: every process that was looked at.
        via: the file by which merged frames were told: "kpageflags"; or "kpagecount", where
            kpageflags lies: then what a fork shares is taken for merged.
        complete: False where it was stopped before the last process.
    """

    sharers: Sequence[Sharer]
    via: str
    complete: bool


def read_sharing(
    targets: Sequence[Target],
    stop: Callable[[], bool] = lambda: False,
    done: Callable[[float], None] = lambda _: None,
    root: Path = ROOT,
) -> Sharing:
    """Look at every process once.

    A page that one process alone maps is shared with nobody, and is none of them.

    Args:
        targets: the processes.
        stop: says whether to end with what there is.
        done: told how many were looked at.
        root: where /proc is.

    Raises:
        HostError: page frames are not shown.
    """
    try:
        via = ksm_page_file(root)
    except OSError as error:
        raise HostError(
            f"who shares with whom is not seen: {error.strerror}; it takes root (CAP_SYS_ADMIN for "
            "page frames, CAP_SYS_PTRACE for those of others)"
        ) from error
    told = _Merged(via, root)
    sharers = []
    for count, target in enumerate(targets, start=1):
        if stop():
            break
        sharers.append(_read(target, told, root))
        done(count)
    return Sharing(sharers, via, len(sharers) == len(targets))


def _read(target: Target, told: _Merged, root: Path) -> Sharer:
    uid, parent = _ids(target.pid, root)
    sharer = Sharer(target, uid, parent, read_merge_any(target.pid, root))
    try:
        mappings = read_mappings(target.pid, root)
        table = PageTable(target.pid, root)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.ENOENT):
            sharer.unread = error.strerror or str(error)
        return sharer
    found = []
    with table:
        for mapping in mappings:
            sharer.advised |= mapping.mergeable
            if mapping.refused is not None:
                continue
            for _, entries in table.pieces(mapping):
                shared = anonymous(entries) & ((entries & EXCLUSIVE) == 0)
                found.append(frames(entries[shared]))
    if found:
        every = told.of(np.concatenate(found))
        sharer.frames, sharer.pages = np.unique(every), len(every)
    return sharer


class _Merged:
    """Knows which frames are KSM pages.

    Forks map the same frames: what has been looked up once is kept.
    """

    def __init__(self, via: str, root: Path) -> None:
        self._via, self._root = via, root
        self._known = np.zeros(0, dtype=np.uint64)
        self._merged = np.zeros(0, dtype=np.bool_)

    def of(self, pfn: Words) -> Words:
        """Those of frames that are KSM pages."""
        distinct, back = np.unique(pfn, return_inverse=True)
        new = distinct[~self._is_known(distinct)]
        if len(new):
            known = np.concatenate([self._known, new])
            order = np.argsort(known)
            self._merged = np.concatenate([self._merged, self._look_up(new)])[order]
            self._known = known[order]
        merged = self._merged[np.searchsorted(self._known, distinct)]
        found: Words = pfn[merged[back]]
        return found

    def _is_known(self, distinct: Words) -> npt.NDArray[np.bool_]:
        place = np.searchsorted(self._known, distinct)
        inside = place < len(self._known)
        known = np.zeros(len(distinct), dtype=np.bool_)
        known[inside] = self._known[place[inside]] == distinct[inside]
        return known

    def _look_up(self, pfn: Words) -> npt.NDArray[np.bool_]:
        flags = frame_flags(pfn, self._root)
        merged: npt.NDArray[np.bool_] = (flags & np.uint64(Kpf.KSM)) != 0
        merged &= (flags & np.uint64(Kpf.ZERO_PAGE)) == 0
        if self._via == "kpagecount":
            merged &= frame_counts(pfn, self._root) > 1
        return merged


def _ids(pid: int, root: Path) -> tuple[int, int]:
    """Effective user and parent; -1 and 0 where they cannot be read."""
    found = dict(line.partition(":")[::2] for line in read_lines(root / f"proc/{pid}/status"))
    users = found.get("Uid", "").split()
    parent = found.get("PPid", "").strip()
    return (
        int(users[1]) if len(users) > 1 and users[1].isdecimal() else -1,
        int(parent) if parent.isdecimal() else 0,
    )
