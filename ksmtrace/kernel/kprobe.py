"""Attaches BPF programs by kprobes that a file descriptor holds (perf_kprobe, since 4.17).

bcc would fall back on tracefs where that is refused, leave its probe there, and complain on stderr.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from pathlib import Path

from ksmtrace.kernel.files import load_number
from ksmtrace.kernel.sysfs import ROOT

_SYSCALLS = {"x86_64": 298, "ppc64le": 319, "s390x": 331}
_SYSCALL = _SYSCALLS.get(platform.machine(), 241)
_CLOSE_ON_EXEC = 8
_SET_BPF, _ENABLE = 0x40042408, 0x2400
_ATTRIBUTE = struct.Struct("=IIQQQQQIIQQ")
"""struct perf_event_attr up to config2: type, size, config, …, config1, config2."""


def attach_kprobe(program: int, function: str, *, at_return: bool, root: Path = ROOT) -> int:
    """Attach a loaded program to a function's entry or return, for all processes.

    Returns the file descriptor of the perf event; closing it removes the kprobe, and waits until no
    CPU is in it.

    Raises:
        OSError: the kernel refuses, or has no kprobes.
    """
    kind = load_number(root / "sys/bus/event_source/devices/kprobe/type")
    if kind is None:
        raise OSError(errno.ENOENT, "this kernel has no kprobes for perf events (4.17)")
    name = ctypes.create_string_buffer(function.encode())
    fields = (kind, _ATTRIBUTE.size, int(at_return), 1, 0, 0, 0, 1, 0, ctypes.addressof(name), 0)
    attribute = ctypes.create_string_buffer(_ATTRIBUTE.pack(*fields))
    libc = ctypes.CDLL(None, use_errno=True)
    event: int = libc.syscall(
        ctypes.c_long(_SYSCALL), attribute, -1, 0, -1, ctypes.c_ulong(_CLOSE_ON_EXEC)
    )
    if event < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"kprobe {function}: {os.strerror(number)}")
    try:
        fcntl.ioctl(event, _SET_BPF, program)
        fcntl.ioctl(event, _ENABLE, 0)
    except OSError:
        os.close(event)
        raise
    return event
