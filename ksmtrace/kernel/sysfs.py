"""Reads KSM's tunables and counters from /sys/kernel/mm/ksm, /proc/vmstat and ksmd's schedstat."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from errno import EIO, ENOENT
from functools import partial
from pathlib import Path

from ksmtrace.errors import HostError
from ksmtrace.events.kinds import Gauge
from ksmtrace.kernel.files import (
    NOT_AS_KNOWN,
    UnreadError,
    failed,
    load_bytes,
    load_number,
    number,
    read_text,
)

ROOT = Path("/")

TUNABLES = (
    "run",
    "pages_to_scan",
    "sleep_millisecs",
    "merge_across_nodes",
    "use_zero_pages",
    "max_page_sharing",
    "stable_node_chains_prune_millisecs",
    "smart_scan",
    "advisor_mode",
    "advisor_max_cpu",
    "advisor_min_pages_to_scan",
    "advisor_max_pages_to_scan",
    "advisor_target_scan_time",
)
"""Writable files of /sys/kernel/mm/ksm; older kernels lack some."""

_SYSFS_GAUGES = (*(gauge for gauge in Gauge if gauge <= Gauge.GENERAL_PROFIT), Gauge.PAGES_TO_SCAN)


def ksm_directory(root: Path = ROOT) -> Path:
    """/sys/kernel/mm/ksm below `root`."""
    return root / "sys/kernel/mm/ksm"


def has_ksm(root: Path = ROOT) -> bool:
    """Whether this kernel was built with CONFIG_KSM."""
    return (ksm_directory(root) / "run").exists()


def has_counter(name: str, root: Path = ROOT) -> bool:
    """Whether the kernel has this file of /sys/kernel/mm/ksm; "cow_ksm" is in /proc/vmstat."""
    if name == "cow_ksm":
        return _vmstat_or_none(root, name) is not None
    return (ksm_directory(root) / name).exists()


def read_tunables(root: Path = ROOT) -> dict[str, str]:
    """Every tunable that the kernel has, as text; of `advisor_mode` only the chosen word."""
    found = {}
    for name in TUNABLES:
        text = read_text(ksm_directory(root) / name)
        if text:
            found[name] = text.partition("[")[2].partition("]")[0] or text
    return found


@dataclass(frozen=True, slots=True)
class Counters:
    """One look at the kernel's counters.

    Attributes:
        values: those read, in the kernel's units (pages, counts, bytes, nanoseconds).
        failed: why others were not, as errno, though this kernel has them.
    """

    values: dict[Gauge, int]
    failed: dict[Gauge, int]


class CounterReader:
    """Reads the counters again and again.

    A file that was there once is one of this kernel's; one that was not there is not looked for
    again.

    Args:
        root: where /sys and /proc are.
        ksmd_pid: whose CPU time is read too, or None.
        more: what else is read, and how: None where this kernel lacks it, `UnreadError` where it
            cannot be read.
    """

    def __init__(
        self,
        root: Path = ROOT,
        ksmd_pid: int | None = None,
        more: Mapping[Gauge, Callable[[], int | None]] | None = None,
    ) -> None:
        self._reads = {**dict(_reads(root, ksmd_pid)), **(more or {})}
        self._met: set[Gauge] = set()

    def read(self) -> Counters:
        """The counters now."""
        values: dict[Gauge, int] = {}
        unread: dict[Gauge, int] = {}
        for gauge, load in list(self._reads.items()):
            try:
                value = load()
            except UnreadError as error:
                unread[gauge] = error.errno or EIO
                continue
            if value is not None:
                values[gauge] = value
            elif gauge in self._met:
                unread[gauge] = ENOENT
            else:
                del self._reads[gauge]
        self._met |= values.keys()
        return Counters(values, unread)


def read_counters(root: Path = ROOT, ksmd_pid: int | None = None) -> dict[Gauge, int]:
    """The counters that this kernel has, in its own units (pages, counts, bytes, nanoseconds).

    One that cannot be read is left out.
    """
    return CounterReader(root, ksmd_pid).read().values


def require_number(path: Path) -> int:
    """The number in a file that a run cannot do without.

    Raises:
        HostError: it is not there, cannot be read, or holds no number.
    """
    try:
        found = load_number(path)
    except UnreadError as error:
        raise HostError(f"{path} cannot be read: {error.strerror}") from error
    if found is None:
        raise HostError(f"{path} is missing")
    return found


def read_cpu_ns(pid: int, root: Path = ROOT) -> int | None:
    """CPU time of a thread in nanoseconds; None where the kernel does not tell (SCHED_INFO)."""
    try:
        return _cpu_ns(root, pid)
    except UnreadError:
        return None


def _reads(root: Path, ksmd_pid: int | None) -> Iterator[tuple[Gauge, Callable[[], int | None]]]:
    """How each counter is read: the function returns None where this kernel lacks it."""
    for gauge in _SYSFS_GAUGES:
        yield gauge, partial(load_number, ksm_directory(root) / gauge.name.lower())
    yield Gauge.COW_KSM, partial(_vmstat, root, "cow_ksm")
    if ksmd_pid is not None:
        yield Gauge.KSMD_CPU_NS, partial(_cpu_ns, root, ksmd_pid)


def _cpu_ns(root: Path, pid: int) -> int | None:
    path = root / f"proc/{pid}/schedstat"
    content = load_bytes(path)
    if content is None:
        return None
    found = number((content.split() or [b""])[0])
    if found is None:
        raise failed(path, NOT_AS_KNOWN)
    return found


def _vmstat(root: Path, name: str) -> int | None:
    path = root / "proc/vmstat"
    for line in (load_bytes(path) or b"").splitlines():
        key, _, value = line.partition(b" ")
        if key == name.encode():
            found = number(value.strip())
            if found is None:
                raise failed(path, NOT_AS_KNOWN)
            return found
    return None


def _vmstat_or_none(root: Path, name: str) -> int | None:
    try:
        return _vmstat(root, name)
    except UnreadError:
        return None
