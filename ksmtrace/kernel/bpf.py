"""Loads BPF programs by libbpf: to learn what this kernel allows, and to attach fentry and fexit.

bcc would parse the kernel's BTF once for each fentry program; here the type's number is passed in.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.kernel.btf import Btf, load_libbpf
from ksmtrace.kernel.kprobe import open_kprobe
from ksmtrace.kernel.privileges import why_refused
from ksmtrace.kernel.switches import refuse_while_ftrace_is_off
from ksmtrace.kernel.sysfs import ROOT

_KPROBE, _RAW_TRACEPOINT, _TRACING = 2, 17, 26
_TRACE_FENTRY, _TRACE_FEXIT, TRACE_ITER = 24, 25, 28
RETURN_0 = bytes.fromhex("b7000000000000009500000000000000")
"""A program that does nothing."""

_INSTRUCTION = 8


class _LoadOptions(ctypes.Structure):
    """struct bpf_prog_load_opts of libbpf 1.0, as far as it is used."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("attempts", ctypes.c_int),
        ("expected_attach_type", ctypes.c_int),
        ("prog_btf_fd", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_ifindex", ctypes.c_uint32),
        ("kern_version", ctypes.c_uint32),
        ("attach_btf_id", ctypes.c_uint32),
        ("attach_prog_fd", ctypes.c_uint32),
        ("attach_btf_obj_fd", ctypes.c_uint32),
        ("fd_array", ctypes.c_void_p),
        ("func_info", ctypes.c_char_p),
        ("func_info_cnt", ctypes.c_uint32),
        ("func_info_rec_size", ctypes.c_uint32),
        ("line_info", ctypes.c_void_p),
        ("line_info_cnt", ctypes.c_uint32),
        ("line_info_rec_size", ctypes.c_uint32),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class Outage:
    """Why a mechanism does not work here.

    Attributes:
        sentence: for people.
        refused: the kernel has it, and refuses it to this process.
        option: of the kernel's configuration, where its lack is the reason; else "".
        remedy: a command that ends it; "" where none is known.
    """

    sentence: str
    refused: bool = False
    option: str = ""
    remedy: str = ""


def attach_tracing(
    bytecode: bytes, function: int, *, at_return: bool, callback_at: int = 0
) -> tuple[int, int]:
    """Load a program and attach it to a function's entry or return.

    Returns the file descriptors of the program and of the link; closing the link detaches.
    `function` is its number in the kernel's BTF, `callback_at` as for `load_kprobe`.

    Raises:
        OSError: the kernel refuses, or ftrace is off.
    """
    refuse_while_ftrace_is_off()
    attach_type = _TRACE_FEXIT if at_return else _TRACE_FENTRY
    program = _load(_TRACING, bytecode, attach_type, function, callback_at)
    link: int = load_libbpf().bpf_raw_tracepoint_open(None, program)
    if link < 0:
        os.close(program)
        raise OSError(-link, os.strerror(-link))
    return program, link


def load_kprobe(bytecode: bytes, *, callback_at: int = 0) -> int:
    """Load a program for kprobes, attached to none; returns its descriptor.

    Args:
        bytecode: as `bpf_features.link_program` made it.
        callback_at: offset in bytes of a function in it that a helper calls back; 0 where it has
            none.

    Raises:
        OSError: the kernel refuses.
    """
    return _load(_KPROBE, bytecode, callback_at=callback_at)


def load_raw_tracepoint(bytecode: bytes) -> int:
    """Load a program for a raw tracepoint, attached to none; returns its descriptor.

    Raises:
        OSError: the kernel refuses.
    """
    return _load(_RAW_TRACEPOINT, bytecode)


def load_iterator(bytecode: bytes, iterator: int) -> int:
    """Load a program for a BPF iterator, attached to none; returns its descriptor.

    `iterator` is the number, in the kernel's BTF, of the function that stands for it.

    Raises:
        OSError: the kernel refuses.
    """
    return _load(_TRACING, bytecode, TRACE_ITER, iterator)


def try_mechanisms(btf: Btf, function: str, root: Path = ROOT) -> Mapping[str, Outage | None]:
    """Why fentry, kprobe, raw_tracepoint and perf cannot be used here, None for one that works.

    An empty program is loaded for each, for fentry one that would go to `function`, where a kprobe
    is tried that runs nothing. With a libbpf that is too old to load them, only what the kernel
    tells is known.
    """
    library = load_libbpf()
    if not hasattr(library, "libbpf_major_version") or library.libbpf_major_version() < 1:
        return {
            "fentry": Outage("libbpf is older than 1.0"),
            "kprobe": _no_kprobes(root),
            "raw_tracepoint": None,
            "perf": None,
        }
    loads = _why_not_loaded(_RAW_TRACEPOINT, root)
    return {
        "fentry": loads or _why_no_fentry(btf, function, root),
        "kprobe": loads or _no_kprobes(root) or _why_no_kprobe(function, root),
        "raw_tracepoint": loads,
        "perf": loads,
    }


def _why_no_fentry(btf: Btf, function: str, root: Path) -> Outage | None:
    found = btf.function(function)
    if found is None:
        return Outage(f"BTF has no function {function}")
    try:
        os.close(_load(_TRACING, RETURN_0, _TRACE_FENTRY, found[0]))
    except OSError as error:
        return Outage(why_refused("fentry", error, root), refused=True)
    return None


def _no_kprobes(root: Path) -> Outage | None:
    if (root / "sys/bus/event_source/devices/kprobe").exists():
        return None
    option = "CONFIG_KPROBES"
    return Outage(f"no kprobes: kernel built without {option}", option=option)


def _why_no_kprobe(function: str, root: Path) -> Outage | None:
    """Debian's perf_event_paranoid is 3: a kprobe takes CAP_SYS_ADMIN then, a program does not."""
    try:
        os.close(open_kprobe(function, root=root))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return Outage(why_refused("kprobe", error, root), refused=True)
    return _why_not_loaded(_KPROBE, root)


def _why_not_loaded(kind: int, root: Path) -> Outage | None:
    try:
        os.close(_load(kind, RETURN_0))
    except OSError as error:
        return Outage(why_refused("BPF", error, root), refused=True)
    return None


def _load(
    kind: int, bytecode: bytes, attach_type: int = 0, function: int = 0, callback_at: int = 0
) -> int:
    library = load_libbpf()
    options = _LoadOptions(
        sz=ctypes.sizeof(_LoadOptions),
        attempts=1,
        expected_attach_type=attach_type,
        attach_btf_id=function,
    )
    _lift_memlock()
    if callback_at:
        options.prog_btf_fd = _load_function_types(library)
        options.func_info = struct.pack("<4I", 0, 3, callback_at // _INSTRUCTION, 4)
        options.func_info_cnt, options.func_info_rec_size = 2, 8
    try:
        loaded: int = library.bpf_prog_load(
            ctypes.c_int(kind),
            b"ksmtrace",
            b"GPL",
            ctypes.c_char_p(bytecode),
            ctypes.c_size_t(len(bytecode) // _INSTRUCTION),
            ctypes.byref(options),
        )
    finally:
        if callback_at:
            os.close(options.prog_btf_fd)
    if loaded < 0:
        raise OSError(-loaded, os.strerror(-loaded))
    return loaded


def _load_function_types(library: ctypes.CDLL) -> int:
    """BTF of a program with a callback: types 3 and 4 are two functions, the second one static.

    The kernel takes a function for a callback only if it is known to be static (5.13).
    """
    names = b"\0int\0program\0callback\0"
    types = struct.pack("<4I", 1, 1 << 24, 4, 1 << 24 | 32)  # 1: int, signed, 32 bits
    types += struct.pack("<3I", 0, 13 << 24, 1)  # 2: int (*)(void)
    types += struct.pack("<3I", names.index(b"program"), 12 << 24 | 1, 2)
    types += struct.pack("<3I", names.index(b"callback"), 12 << 24, 2)
    sizes = (24, 0, len(types), len(types), len(names))
    blob = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, *sizes) + types + names
    loaded: int = library.bpf_btf_load(ctypes.c_char_p(blob), ctypes.c_size_t(len(blob)), None)
    if loaded < 0:
        raise OSError(-loaded, os.strerror(-loaded))
    return loaded


def _lift_memlock() -> None:
    """Before 5.11 programs count against the limit of locked memory."""
    try:
        resource.setrlimit(
            resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
    except (ValueError, OSError):
        return
