"""Addresses from /proc/kallsyms."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ksmtrace.kernel.sysfs import ROOT

_CLONE = re.compile(r"([^.]+)((\.(isra|constprop)\.\d+)+)")


def read_symbols(wanted: Collection[str], root: Path = ROOT) -> dict[str, int]:
    """Address of each wanted symbol of the kernel itself that is listed; 0 where addresses are hidden.

    A whole function that GCC gave other parameters (`.isra.N`, `.constprop.N`) is listed by its full name; a part of one
    (`.part.N`, `.cold`) is not. Types of symbols are not looked at: 6.18 lists data as text. Of two symbols with one
    name the first counts.
    """
    names = frozenset(name.encode() for name in wanted)
    found: dict[str, int] = {}
    try:
        listing = (root / "proc/kallsyms").open("rb")
    except OSError:
        return found
    with listing:
        for line in listing:
            # "address type name"; symbols of modules carry a tab and "[module]" and never match
            space = line.find(b" ")
            name = line[space + 3 : -1]
            if name not in names and not (b"." in name and _base(name) in names):
                continue
            text = name.decode()
            if text not in found:
                found[text] = int(line[:space], 16)
    return found


def clones_of(name: str, symbols: Collection[str]) -> list[str]:
    """The symbols under which a function is compiled: its name, or its clones', or both."""
    return [symbol for symbol in sorted(symbols) if _base(symbol.encode()) == name.encode()]


def _base(symbol: bytes) -> bytes:
    """The function of which a symbol is the whole or a clone; b"" for neither."""
    if b"." not in symbol:
        return symbol
    match = _CLONE.fullmatch(symbol.decode(errors="replace"))
    return match[1].encode() if match else b""
