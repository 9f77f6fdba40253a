"""Addresses of kernel symbols, from /proc/kallsyms."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ksmtrace.kernel.files import read_bytes
from ksmtrace.kernel.sysfs import ROOT

_ADDRESS = re.compile(rb"[0-9a-fA-F]{1,16}")
_CLONE = re.compile(r"([^.]+)((\.(isra|constprop)\.\d+)+)")


def read_symbols(wanted: Collection[str], root: Path = ROOT) -> dict[str, int]:
    """Addresses of the `wanted` symbols that the kernel has; 0 where addresses are hidden.

    Symbols of modules are left out. A clone of a wanted function with other parameters (`.isra.N`,
    `.constprop.N`) is in the result by its full name; a part of one (`.part.N`, `.cold`) is not.
    Types of symbols are not looked at: 6.18 lists data as text. Of two symbols with one name the
    first counts.
    """
    return {name: begin for name, (begin, _) in read_ranges(wanted, root).items()}


def read_ranges(wanted: Collection[str], root: Path = ROOT) -> dict[str, tuple[int, int]]:
    """The same with each symbol's end, which is where the next one begins; 0 for the last.

    The kernel lists its own symbols by address.
    """
    names = frozenset(name.encode() for name in wanted)
    found: dict[str, tuple[int, int]] = {}
    open_ended: list[str] = []
    for line in (read_bytes(root / "proc/kallsyms") or b"").split(b"\n"):
        # "address type name"; symbols of modules carry a tab and "[module]" and never match
        space = line.find(b" ")
        name = line[space + 3 :]
        is_wanted = name in names or (b"." in name and _base(name) in names)
        if not (open_ended or is_wanted) or not _ADDRESS.fullmatch(line[: max(space, 0)]):
            continue
        address = int(line[:space], 16)
        if open_ended and address > found[open_ended[0]][0]:
            for one in open_ended:
                found[one] = found[one][0], address
            open_ended.clear()
        text = name.decode("utf-8", "replace")
        if is_wanted and text not in found:
            found[text] = address, 0
            open_ended.append(text)
    return found


def clones_of(name: str, symbols: Collection[str]) -> list[str]:
    """Those of `symbols` that are the function `name` or a clone of it, sorted."""
    return [symbol for symbol in sorted(symbols) if _base(symbol.encode()) == name.encode()]


def _base(symbol: bytes) -> bytes:
    """The function that a symbol is, or is a clone of; b"" for a part of one."""
    if b"." not in symbol:
        return symbol
    match = _CLONE.fullmatch(symbol.decode(errors="replace"))
    return match[1].encode() if match else b""
