"""Lets go of files, of connections to others and of signals, where the kernel has Landlock (5.13).

Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h of Linux 6.12.
"""

from __future__ import annotations

import ctypes
import os

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
"""Numbers of system calls, equal on all architectures."""

_VERSION_FLAG = 1
_FILES = {1: 13, 2: 14, 3: 15, 5: 16}
"""Since which ABI of Landlock how many rights on files there are."""

_BIND_AND_CONNECT_TCP, _NETWORK_ABI = 0b11, 4
_ABSTRACT_SOCKETS_AND_SIGNALS, _SCOPE_ABI = 0b11, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


def let_go() -> int:
    """Have this process open no file, bind and connect no TCP socket, signal no other process.

    What it has open stays; children are bound too. It must have PR_SET_NO_NEW_PRIVS.

    Returns:
        The ABI of Landlock by which this is so; 0 where the kernel has none. Before 4 files alone
        are let go of, before 6 files and TCP.

    Raises:
        OSError: the kernel has Landlock and refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    abi = int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION_FLAG))
    if abi < 1:
        return 0
    rights = max(count for since, count in _FILES.items() if since <= abi)
    ruleset = _Ruleset((1 << rights) - 1)
    size = 8
    if abi >= _NETWORK_ABI:
        ruleset.handled_access_net, size = _BIND_AND_CONNECT_TCP, 16
    if abi >= _SCOPE_ABI:
        ruleset.scoped, size = _ABSTRACT_SOCKETS_AND_SIGNALS, 24
    made = libc.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if made < 0:
        raise OSError(ctypes.get_errno(), "landlock_create_ruleset")
    try:
        if libc.syscall(_RESTRICT_SELF, made, 0):
            raise OSError(ctypes.get_errno(), "landlock_restrict_self")
    finally:
        os.close(made)
    return abi
