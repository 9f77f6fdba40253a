"""The session in a capture's header: each fact is checked for type and range before it is used.

A checksum that fits says that a file is as it was written, not that ksmtrace wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from ksmtrace.session import ENGINE, Exactness, Session

MOST_TEXT = 4096
"""Characters of a text in the header, of which the notes of probes are the longest."""
_MOST_ITEMS = 4096
_SMALLEST_PAGE, _LARGEST_PAGE = 1 << 12, 1 << 21
_LARGEST_STRUCT = 1 << 12
_CLOCK_END = 1 << 63
_MOST_PIDS, _PID_END = 1 << 16, 1 << 31


def parse_session(text: bytes, source: str) -> Session:
    """The session in the JSON `text`; `source` becomes its own.

    Raises:
        ValueError: a fact is missing, of the wrong type or out of range; the message names it.
    """
    try:
        facts = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("session is nested too deeply") from None
    _check(_object(facts, "session"))
    return Session.from_json(facts, source)


def parse_number(text: bytes, what: str, most: int) -> int:
    """The number, from 0 to `most`, that the header has as text.

    Raises:
        ValueError: it has something else.
    """
    if not text.isdigit() or len(text) > 19 or int(text) > most:
        raise ValueError(f"{what} is no number from 0 to {most}")
    return int(text)


def _check(facts: Mapping[str, Any]) -> None:
    kernel = _object(facts.get("kernel"), "kernel")
    for name in ("release", "build_id", "machine"):
        _text(kernel.get(name), f"kernel.{name}")
    size = _integer(kernel.get("page_size_bytes"), "kernel.page_size_bytes", _LARGEST_PAGE)
    if size < _SMALLEST_PAGE or size & (size - 1):
        _refuse("kernel.page_size_bytes is no size of a page")
    for name in ("rmap_item_size_bytes", "stable_node_size_bytes"):
        size = _integer(kernel.get(name, 64), f"kernel.{name}", _LARGEST_STRUCT)
        if not size and kernel["machine"] != ENGINE:  # a variant of the engine may have none
            _refuse(f"kernel.{name} is 0")
    _text(facts.get("tier"), "tier")
    _text(facts.get("capture_id"), "capture_id")
    _text(facts.get("host", ""), "host")
    for name, value in _object(facts.get("tunables"), "tunables").items():
        _text(value, f"tunables.{_shown(name)}")
    for name in ("monotonic_ns", "realtime_ns"):
        _integer(facts.get(name), name, _CLOCK_END - 1)
    for name, probe in _object(facts.get("probes"), "probes").items():
        _probe(_object(probe, f"probes.{_shown(name)}"), f"probes.{_shown(name)}")
    for pid in _array(facts.get("only_pids", []), "only_pids", _MOST_PIDS):
        _integer(pid, "only_pids", _PID_END - 1)


def _probe(probe: Mapping[str, Any], where: str) -> None:
    for name in ("via", "note"):
        _text(probe.get(name), f"{where}.{name}")
    _text(probe.get("counter", ""), f"{where}.counter")
    if probe.get("exactness") not in [one.value for one in Exactness]:
        _refuse(f"{where}.exactness is none of {', '.join(Exactness)}")
    for one in _array(probe.get("lacks", []), f"{where}.lacks", _MOST_ITEMS):
        _text(one, f"{where}.lacks")
    share = probe.get("share", 1.0)
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        _refuse(f"{where}.share is no number from 0 to 1")
    if not isinstance(probe.get("counted", False), bool):
        _refuse(f"{where}.counted is neither true nor false")


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > _MOST_ITEMS:
        _refuse(f"{where} is no object of at most {_MOST_ITEMS} members")
    for name in value:
        _text(name, where)
    return value


def _array(value: object, where: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        _refuse(f"{where} is no array of at most {most} values")
    return value


def _text(value: object, where: str) -> None:
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        _refuse(f"{where} is no text of at most {MOST_TEXT} characters")
    if any("\ud800" <= character <= "\udfff" for character in value):
        _refuse(f"{where} holds half of a character")


def _integer(value: object, where: str, most: int) -> int:
    # JSON's true and false are integers to Python
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        _refuse(f"{where} is no integer from 0 to {most}")
    return value


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:40])


def _no_constant(name: str) -> NoReturn:
    _refuse(f"session holds {name}")


def _refuse(reason: str) -> NoReturn:
    raise ValueError(reason)
