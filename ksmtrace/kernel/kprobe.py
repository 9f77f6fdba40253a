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

from ksmtrace.kernel.btf import load_libbpf
from ksmtrace.kernel.files import load_number
from ksmtrace.kernel.switches import refuse_while_ftrace_is_off
from ksmtrace.kernel.sysfs import ROOT

_SYSCALLS = {"x86_64": 298, "ppc64le": 319, "s390x": 331}
_SYSCALL = _SYSCALLS.get(platform.machine(), 241)
_CLOSE_ON_EXEC = 8
_PERF_EVENT = 41
"""BPF_PERF_EVENT of enum bpf_attach_type."""

_SET_BPF, _ENABLE = 0x40042408, 0x2400
_ATTRIBUTE = struct.Struct("=IIQQQQQIIQQ")
"""struct perf_event_attr up to config2: type, size, config, …, config1, config2."""


def attach_kprobe(
    program: int, function: str, *, at_return: bool, offset: int = 0, root: Path = ROOT
) -> list[int]:
    """Attach a loaded program to a function's entry or return, for all processes.

    Returns the file descriptors of the perf event and, from 5.15 on, of a link, which is last and
    tells what was missed (`bpf_stats.read_missed_kprobes`). Closing them, last first, removes the
    kprobe, and waits until no CPU is in it.

    Args:
        program: its descriptor.
        function: the kernel's name for it.
        at_return: whether it is the return.
        offset: bytes from the function's start, where it is not the return.
        root: where /sys is.

    Raises:
        OSError: the kernel refuses, or has no kprobes, or ftrace is off.
    """
    event = open_kprobe(function, at_return=at_return, offset=offset, root=root)
    held = [event]
    try:
        link: int = load_libbpf().bpf_link_create(program, event, _PERF_EVENT, None)
        if link >= 0:
            held.append(link)
        else:
            fcntl.ioctl(event, _SET_BPF, program)
        fcntl.ioctl(event, _ENABLE, 0)
    except OSError:
        for descriptor in reversed(held):
            os.close(descriptor)
        raise
    return held


def open_kprobe(
    function: str, *, at_return: bool = False, offset: int = 0, root: Path = ROOT
) -> int:
    """The perf event of a kprobe, which does nothing yet; arguments as for `attach_kprobe`.

    Raises:
        OSError: the kernel refuses, or has no kprobes, or ftrace is off.
    """
    refuse_while_ftrace_is_off(root)
    kind = load_number(root / "sys/bus/event_source/devices/kprobe/type")
    if kind is None:
        raise OSError(errno.ENOENT, "this kernel has no kprobes for perf events (4.17)")
    name = ctypes.create_string_buffer(function.encode())
    where = (ctypes.addressof(name), offset)
    fields = (kind, _ATTRIBUTE.size, int(at_return), 1, 0, 0, 0, 1, 0, *where)
    attribute = ctypes.create_string_buffer(_ATTRIBUTE.pack(*fields))
    libc = ctypes.CDLL(None, use_errno=True)
    event: int = libc.syscall(
        ctypes.c_long(_SYSCALL), attribute, -1, 0, -1, ctypes.c_ulong(_CLOSE_ON_EXEC)
    )
    if event < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"kprobe {function}: {os.strerror(number)}")
    return event
