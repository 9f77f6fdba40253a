"""Addresses from /proc/kallsyms."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ksmtrace.kernel.sysfs import ROOT


def read_symbols(wanted: Collection[str], root: Path = ROOT) -> dict[str, int]:
    """Address of each wanted symbol of the kernel itself that is listed; 0 where addresses are hidden.

    Types of symbols are not looked at: 6.18 lists data as text. Of two symbols with one name the first counts.
    """
    needles = {f" {name}\n".encode(): name for name in wanted}
    found: dict[str, int] = {}
    try:
        listing = (root / "proc/kallsyms").open("rb")
    except OSError:
        return found
    with listing:
        for line in listing:
            # "address type name"; symbols of modules carry a tab and "[module]" and never match
            name = needles.get(line[line.find(b" ") + 2 :])
            if name is not None and name not in found:
                found[name] = int(line[: line.find(b" ")], 16)
    return found
