"""Features of KSM, and whether this kernel has them.

Each is looked for on the host itself: a version says little, for distributions backport.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.files import UnreadError, load_bytes
from ksmtrace.kernel.sysfs import ROOT


class Sign(StrEnum):
    """By what a feature is found: a file, a line of one, a tracepoint, a function with a symbol."""

    FILE = "file"
    LINE = "line"
    TRACEPOINT = "tracepoint"
    FUNCTION = "function"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Attributes:
        introduced: first upstream release that has it.
        commit: upstream commit, 12 hex digits; "" where it is not known for sure.
        gives: its use.
        where: a path, or the tracepoint's or function's name.
        word: for a LINE, how it begins.
    """

    name: str
    introduced: str
    commit: str
    gives: str
    sign: Sign
    where: str
    word: str = ""

    @property
    def found_by(self) -> str:
        """The sign, for people."""
        if self.sign is Sign.FILE:
            return f"/{self.where}"
        if self.sign is Sign.LINE:
            return f"{self.word} in /{self.where}"
        return f"{self.sign.value} {self.where}"


def _sysfs(name: str, introduced: str, commit: str, gives: str) -> Feature:
    return Feature(name, introduced, commit, gives, Sign.FILE, f"sys/kernel/mm/ksm/{name}")


FEATURES = (
    _sysfs("merge_across_nodes", "3.9", "90bd6fd31c80", "merging within a NUMA node only"),
    _sysfs("use_zero_pages", "4.11", "e86c59b1b12d", "zero pages use the kernel's one"),
    _sysfs("max_page_sharing", "4.13", "2c653d0ee2ae", "a page's sharers have a limit"),
    Feature(
        *("mmap_lock tracepoints", "5.11", "2b5067a8143e", "candidates one by one"),
        *(Sign.TRACEPOINT, "mmap_lock_released"),
    ),
    Feature(
        *("cow_ksm", "5.19", "94bfe85bde18", "writes to merged pages counted"),
        *(Sign.LINE, "proc/vmstat", "cow_ksm "),
    ),
    Feature(
        *("ksm_merging_pages", "5.19", "7609385337a4", "merged pages of each process"),
        *(Sign.FILE, "proc/self/ksm_merging_pages"),
    ),
    Feature(
        *("ksm_stat", "6.1", "cb4df4cae4f2", "rmap_items of each process"),
        *(Sign.FILE, "proc/self/ksm_stat"),
    ),
    Feature(
        *("PR_SET_MEMORY_MERGE", "6.4", "d7597f59d1d3", "whole processes opt in"),
        *(Sign.FUNCTION, "ksm_enable_merge_any"),
    ),
    _sysfs("general_profit", "6.4", "d21077fbc2fc", "bytes saved less bytes spent"),
    Feature(
        *("ksm tracepoints", "6.4", "739100c88f49", "merges without function probes"),
        *(Sign.TRACEPOINT, "ksm_merge_with_ksm_page"),
    ),
    _sysfs("pages_scanned", "6.6", "b348b5fe2b5f", "checks the count of candidates"),
    _sysfs("ksm_zero_pages", "6.6", "e2942062e01d", "merged zero pages counted"),
    _sysfs("smart_scan", "6.7", "5e924ff54d08", "unmergeable pages rarely visited"),
    _sysfs("pages_skipped", "6.7", "e5a689912689", "checks the count of skips"),
    Feature(
        *("scan-time advisor", "6.8", "4e5fa4f5eff6", "sets pages_to_scan by itself"),
        *(Sign.FILE, "sys/kernel/mm/ksm/advisor_mode"),
    ),
    Feature(
        *("ksm_mergeable", "6.14", "3ab76c767bc7", "which processes opted in"),
        *(Sign.LINE, "proc/self/ksm_stat", "ksm_mergeable:"),
    ),
    Feature(
        *("page-table walk", "6.18", "f5548c318d65", "counts candidates; jumps holes"),
        *(Sign.FUNCTION, "ksm_next_page_pmd_entry"),
    ),
)
"""In the order of upstream releases. Stable series have backports of the page-table walk."""


def has_feature(feature: Feature, btf: Btf | None, root: Path = ROOT) -> bool | None:
    """Whether this kernel has it; None where there is no BTF or the file may not be read."""
    path = root / feature.where
    if feature.sign is Sign.FILE:
        return path.exists()
    if feature.sign is Sign.LINE:
        try:
            content = load_bytes(path) or b""
        except UnreadError:
            return None
        return any(line.startswith(feature.word.encode()) for line in content.splitlines())
    if btf is None:
        return None
    if feature.sign is Sign.TRACEPOINT:
        return btf.has_typedef(f"btf_trace_{feature.where}")
    return btf.function(feature.where) is not None
