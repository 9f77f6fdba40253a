"""Parses the bytes that a terminal sends into keys."""

from __future__ import annotations

import re

_NAMED = {
    b"\t": "tab",
    b"\r": "enter",
    b"\n": "enter",
    b"\x7f": "backspace",
    b"\x08": "backspace",
    b"\x1b": "escape",
}
_SEQUENCES = {
    b"A": "up",
    b"B": "down",
    b"C": "right",
    b"D": "left",
    b"H": "home",
    b"F": "end",
    b"Z": "backtab",
    b"1~": "home",
    b"4~": "end",
    b"5~": "pageup",
    b"6~": "pagedown",
    b"7~": "home",
    b"8~": "end",
}
_KEY = re.compile(rb"\x1b[\[O]([0-9;]*[A-Za-z~])|(.)", re.DOTALL)


def keys(typed: bytes) -> list[str]:
    """The keys in what one read of the terminal gave.

    Each is a character, or a name as "tab", "up", "pagedown"; other keys are left out.
    """
    text = []
    for match in _KEY.finditer(typed):
        sequence, single = match.groups()
        if sequence is not None:
            text.append(_SEQUENCES.get(sequence, ""))
        else:
            text.append(_NAMED.get(single) or _character(single))
    return [key for key in text if key]


def _character(byte: bytes) -> str:
    return byte.decode() if 0x20 <= byte[0] < 0x7F else ""
