"""Drops the capabilities that a trace does not need any more (capabilities(7))."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

_VERSION_3 = 0x20080522
_PR_SET_NO_NEW_PRIVS = 38

NUMBERS = {
    "CAP_DAC_OVERRIDE": 1,
    "CAP_DAC_READ_SEARCH": 2,
    "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_RESOURCE": 24,
    "CAP_SYSLOG": 34,
    "CAP_PERFMON": 38,
    "CAP_BPF": 39,
}
"""Bits of the capabilities that a trace needs (`needs.WAYS`), or may need: to lock memory for BPF
before 5.11, and to write where others own."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def keep_only(names: Collection[str]) -> None:
    """Drop all capabilities of this thread except `names`, for good.

    Threads that it starts later have no others either. A program that it executes gets none back
    (PR_SET_NO_NEW_PRIVS).

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    wanted = _bits(names) & _permitted(libc)
    _set(libc, effective=wanted, permitted=wanted)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise _error("PR_SET_NO_NEW_PRIVS")


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Do something without some capabilities, to see whether they are needed.

    Raises:
        OSError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    permitted = _permitted(libc)
    _set(libc, effective=permitted & ~_bits(names), permitted=permitted)
    try:
        yield
    finally:
        _set(libc, effective=permitted, permitted=permitted)


def _bits(names: Collection[str]) -> int:
    return sum(1 << NUMBERS[name] for name in names)


def _permitted(libc: ctypes.CDLL) -> int:
    header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), ctypes.byref(sets)):
        raise _error("capget")
    return int(sets[0].permitted | sets[1].permitted << 32)


def _set(libc: ctypes.CDLL, *, effective: int, permitted: int) -> None:
    header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
    for index, part in enumerate(sets):
        part.effective = effective >> 32 * index & 0xFFFFFFFF
        part.permitted = permitted >> 32 * index & 0xFFFFFFFF
    if libc.capset(ctypes.byref(header), ctypes.byref(sets)):
        raise _error("capset")


def _error(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
