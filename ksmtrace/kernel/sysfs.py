"""Reads KSM's tunables and counters from /sys/kernel/mm/ksm, /proc/vmstat and ksmd's schedstat."""

from __future__ import annotations

from pathlib import Path

from ksmtrace.events.kinds import Gauge

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
        return _vmstat(root, name) is not None
    return (ksm_directory(root) / name).exists()


def read_tunables(root: Path = ROOT) -> dict[str, str]:
    """Every tunable that the kernel has, as text; of `advisor_mode` only the chosen word."""
    found = {}
    for name in TUNABLES:
        text = _read(ksm_directory(root) / name)
        if text is not None:
            found[name] = text.partition("[")[2].partition("]")[0] or text
    return found


def read_counters(root: Path = ROOT, ksmd_pid: int | None = None) -> dict[Gauge, int]:
    """The counters that this kernel has, in its own units (pages, counts, bytes, nanoseconds)."""
    found = {}
    for gauge in _SYSFS_GAUGES:
        text = _read(ksm_directory(root) / gauge.name.lower())
        if text is not None:
            found[gauge] = int(text)
    cow = _vmstat(root, "cow_ksm")
    if cow is not None:
        found[Gauge.COW_KSM] = cow
    if ksmd_pid is not None:
        ksmd_cpu_ns = read_cpu_ns(ksmd_pid, root)
        if ksmd_cpu_ns is not None:
            found[Gauge.KSMD_CPU_NS] = ksmd_cpu_ns
    return found


def read_cpu_ns(pid: int, root: Path = ROOT) -> int | None:
    """CPU time of a thread in nanoseconds; None where the kernel does not tell (SCHED_INFO)."""
    schedstat = _read(root / f"proc/{pid}/schedstat")
    return None if schedstat is None else int(schedstat.split()[0])


def _vmstat(root: Path, name: str) -> int | None:
    text = _read(root / "proc/vmstat") or ""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
