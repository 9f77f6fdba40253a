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
    b"\x1a": "suspend",
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
_BUTTONS = {b"64": "wheelup", b"65": "wheeldown"}
_KEY = re.compile(
    rb"\x1b\[<(\d{1,4});(\d{1,5});(\d{1,5})([Mm])|\x1b[\[O]([0-9;]*[A-Za-z~])|([\xc2-\xf4][\x80-\xbf]{1,3}|.)",
    re.DOTALL,
)
"""The mouse, as xterm's mode 1006 tells of it; a key's sequence; a character of UTF-8, or any other
byte."""


def keys(typed: bytes) -> list[str]:
    """The keys in what one read of the terminal gave.

    Each is a character, or a name as "tab", "up", "pagedown", or "click X Y", from 0 on; other
    keys are left out.
    """
    text = []
    for match in _KEY.finditer(typed):
        button, x, y, pressed, sequence, single = match.groups()
        if button is not None:
            click = f"click {int(x) - 1} {int(y) - 1}" if button == b"0" else ""
            text.append(_BUTTONS.get(button, click) if pressed == b"M" else "")
        elif sequence is not None:
            text.append(_SEQUENCES.get(sequence, ""))
        else:
            text.append(_NAMED.get(single) or _character(single))
    return [key for key in text if key]


def _character(typed: bytes) -> str:
    character = typed.decode(errors="ignore")
    return character if character.isprintable() else ""
