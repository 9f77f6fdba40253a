"""What this kernel's BPF can do beyond loading a program, and programs that make use of it.

bcc compiles them; it cannot load them. A function that a helper calls back is in the program's own
code, where a marked load of a constant becomes its address; a call to a function of the kernel
(kfunc) is a marked call of a helper.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path

from ksmtrace.kernel.bpf import Outage, load_kprobe
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.privileges import why_refused
from ksmtrace.kernel.sysfs import ROOT

CALLBACK = 0x6B736D5F63616C6C
"""The constant that stands for the callback's address."""

KFUNC_CALL = 0x40000000
"""Added to the number of a kernel's function where it is called."""

_INSTRUCTION = struct.Struct("<BBhi")
_LOAD_CONSTANT, _CALL = 0x18, 0x85
_PSEUDO_FUNC, _PSEUDO_KFUNC_CALL = 4, 2
_UNSIGNED_LONGS = "pt_regs"

Feature = Outage | Mapping[str, int]
"""Why it is not to be had, or the -D numbers by which C text uses it."""


def link_program(code: bytes, callback: bytes = b"") -> bytes:
    """A program with the callback behind it, its calls of the kernel's functions marked as such.

    Raises:
        ValueError: there is a callback, and the program does not name it.
    """
    linked = bytearray(code + callback)
    named = 0
    for place in range(0, len(linked), _INSTRUCTION.size):
        operation, registers, _, number = _INSTRUCTION.unpack_from(linked, place)
        if operation == _CALL and registers == 0 and number & KFUNC_CALL:
            number ^= KFUNC_CALL
            _INSTRUCTION.pack_into(linked, place, _CALL, _PSEUDO_KFUNC_CALL << 4, 0, number)
        elif operation == _LOAD_CONSTANT and _constant(linked, place) == CALLBACK:
            distance = (len(code) - place) // _INSTRUCTION.size - 1
            registers = (registers & 15) | _PSEUDO_FUNC << 4
            _INSTRUCTION.pack_into(linked, place, operation, registers, 0, distance)
            _INSTRUCTION.pack_into(linked, place + _INSTRUCTION.size, 0, 0, 0, 0)
            named += 1
    if bool(callback) != bool(named):
        raise ValueError(f"{len(callback)} bytes of callback, named {named} times")
    return bytes(linked)


def _constant(code: bytearray, place: int) -> int:
    low: int = _INSTRUCTION.unpack_from(code, place)[3]
    high: int = _INSTRUCTION.unpack_from(code, place + _INSTRUCTION.size)[3]
    return low & 0xFFFFFFFF | (high & 0xFFFFFFFF) << 32


def try_features(btf: Btf, root: Path = ROOT) -> Mapping[str, Feature]:
    """By name: "bpf_loop" (5.17) and "bpf_rdonly_cast" (6.2), found out by loading a program."""
    return {"bpf_loop": _try_loop(root), "bpf_rdonly_cast": _try_cast(btf, root)}


def _try_loop(root: Path) -> Feature:
    code = _program(
        (0xB7, 1, 0, 1),  # r1 = 1
        (_LOAD_CONSTANT, 2, 0, CALLBACK & 0xFFFFFFFF),
        (0, 0, 0, CALLBACK >> 32),
        (0xB7, 3, 0, 0),
        (0xB7, 4, 0, 0),
        (_CALL, 0, 0, 181),  # bpf_loop
        (0xB7, 0, 0, 0),
        (0x95, 0, 0, 0),
    )
    callback = _program((0xB7, 0, 0, 1), (0x95, 0, 0, 0))
    return _try(code, callback, {"CALLBACK": CALLBACK}, "bpf_loop", root)


def _try_cast(btf: Btf, root: Path) -> Feature:
    function, numbers = btf.function("bpf_rdonly_cast"), btf.struct(_UNSIGNED_LONGS)
    if function is None or numbers is None:
        return Outage("BTF has no function bpf_rdonly_cast (6.2)")
    code = _program(
        (0xB7, 1, 0, 0),
        (0xB4, 2, 0, numbers),  # w2 = type
        (_CALL, 0, 0, KFUNC_CALL | function[0]),
        (0x79, 0, 0, 0),  # r0 = *(u64 *)r0
        (0xB7, 0, 0, 0),
        (0x95, 0, 0, 0),
    )
    defines = {
        "KFUNC_CALL": KFUNC_CALL,
        "KFUNC_RDONLY_CAST": function[0],
        "TYPE_PT_REGS": numbers,
    }
    return _try(code, b"", defines, "bpf_rdonly_cast", root)


def _try(code: bytes, callback: bytes, found: Mapping[str, int], what: str, root: Path) -> Feature:
    try:
        os.close(load_kprobe(link_program(code, callback), callback_at=len(code) * bool(callback)))
    except OSError as error:
        return Outage(why_refused(what, error, root), refused=True)
    return found


def _program(*instructions: tuple[int, int, int, int]) -> bytes:
    """Instructions as (operation, destination register, offset, number)."""
    return b"".join(
        struct.pack("<BBhI", operation, register, offset, number)
        for operation, register, offset, number in instructions
    )
