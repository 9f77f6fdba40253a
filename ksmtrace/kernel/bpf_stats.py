"""What the kernel counts of BPF programs while it is asked to: how often each ran, and how long.

The count itself costs each run of any BPF program of the machine two readings of a clock, so it is
asked for by BPF_ENABLE_STATS for a while only (Linux 5.8 and later; it needs CAP_SYS_ADMIN).
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Sequence
from typing import NamedTuple

from ksmtrace.kernel.bpf import load_raw_tracepoint
from ksmtrace.kernel.btf import load_libbpf

_RUN_TIME = 0
_INFO_BYTES, _RUN_TIME_AT, _RUN_COUNT_AT, _MISSES_AT = 232, 192, 200, 208
"""struct bpf_prog_info up to recursion_misses, and where run_time_ns, run_cnt and it are there."""

_LINK_BYTES, _LINK_KIND_AT, _LINK_MISSED_AT = 64, 16, 48
"""struct bpf_link_info, and where perf_event.type and perf_event.kprobe.missed are in it."""

_LINK_KPROBES = (3, 4)
"""BPF_PERF_EVENT_KPROBE, BPF_PERF_EVENT_KRETPROBE."""

_MOV_0 = bytes.fromhex("b700000000000000")
_ADD_1 = bytes.fromhex("0700000001000000")
_WHO = bytes.fromhex("850000000e000000")
"""call bpf_get_current_pid_tgid"""
_EXIT = bytes.fromhex("9500000000000000")
_ADDITIONS, _RUNS, _FEWEST_RUNS = 2000, 200, 21
_RUNS_SECONDS = 0.02
"""What running may take, as long as it has been the fewest."""


class Runs(NamedTuple):
    """How often a program ran, and how long in all, in nanoseconds."""

    number: int
    ns: int


class Clock(NamedTuple):
    """How fast this machine is, by programs of known length.

    Attributes:
        instruction_ns: time of an instruction.
        empty_ns: what the kernel counts for a run that does nothing: the price of its own clock.
        other_ns: what a run adds to that which sees that it is in the wrong thread, and returns.
    """

    instruction_ns: float
    empty_ns: float
    other_ns: float


ASSUMED = Clock(instruction_ns=0.3, empty_ns=20.0, other_ns=5.0)
"""A processor of three billion instructions a second."""


def enable_stats() -> int:
    """Have the kernel count; returns a descriptor: closing it ends that.

    Raises:
        OSError: the kernel refuses.
    """
    library = load_libbpf()
    if not hasattr(library, "bpf_enable_stats"):
        raise OSError(errno.EOPNOTSUPP, "libbpf is too old for BPF_ENABLE_STATS")
    descriptor: int = library.bpf_enable_stats(_RUN_TIME)
    if descriptor < 0:
        # libbpf 1.0 returns -errno; before, -1
        number = -descriptor if descriptor < -1 else ctypes.get_errno() or errno.EPERM
        raise OSError(number, os.strerror(number))
    return descriptor


def read_runs(program: int) -> Runs:
    """What was counted of the program with this descriptor, since it was loaded.

    Raises:
        OSError: the kernel refuses.
    """
    info = _info(program, _INFO_BYTES)
    return Runs(_word(info, _RUN_COUNT_AT) or 0, _word(info, _RUN_TIME_AT) or 0)


def read_recursion_misses(program: int) -> int | None:
    """How often the kernel passed a program over, since it or another one ran on that CPU.

    fentry and fexit count that from 5.12 on, kprobes and tracepoints from 6.7 on. None where this
    kernel does not tell.

    Raises:
        OSError: the kernel refuses.
    """
    return _word(_info(program, _INFO_BYTES), _MISSES_AT)


def read_missed_kprobes(link: int) -> int | None:
    """How often a kprobe hit and was not run, or a kretprobe had no instance left (nmissed).

    None where this kernel does not tell of a link (6.7).

    Raises:
        OSError: the kernel refuses.
    """
    info = _info(link, _LINK_BYTES)
    kind = _word(info, _LINK_KIND_AT)
    if kind is None or kind & 0xFFFFFFFF not in _LINK_KPROBES:
        return None
    return _word(info, _LINK_MISSED_AT)


def _info(descriptor: int, most: int) -> bytes:
    """The kernel's struct about a BPF object, as much of it as it has, at most `most` bytes.

    Raises:
        OSError: the kernel refuses.
    """
    info = ctypes.create_string_buffer(most)
    size = ctypes.c_uint32(most)
    failed: int = load_libbpf().bpf_obj_get_info_by_fd(descriptor, info, ctypes.byref(size))
    if failed:
        number = -failed if failed < -1 else errno.EPERM
        raise OSError(number, os.strerror(number))
    return info.raw[: size.value]


def _word(info: bytes, at: int) -> int | None:
    """A member of 8 bytes; None where the kernel's struct ends before it."""
    return int.from_bytes(info[at : at + 8], "little") if len(info) >= at + 8 else None


def measure_clock() -> Clock:
    """The speed of this machine, measured within a few milliseconds; `ASSUMED` where it cannot be.

    The kernel must be counting (`enable_stats`). Programs are run by BPF_PROG_TEST_RUN (5.10).
    """
    try:
        empty = _mean_ns(_MOV_0 + _EXIT)
        other = _mean_ns(_WHO + _MOV_0 + _EXIT)
        long = _mean_ns(_MOV_0 + _ADD_1 * _ADDITIONS + _MOV_0 + _EXIT)
    except OSError:
        return ASSUMED
    if long <= empty:
        return ASSUMED
    return Clock((long - empty) / _ADDITIONS, empty, max(0.0, other - empty))


def _mean_ns(bytecode: bytes) -> float:
    """Time of a run of a program.

    Raises:
        OSError: it cannot be loaded or run, or nobody counted.
    """
    program = load_raw_tracepoint(bytecode)
    try:
        times = _times_of(program)
    finally:
        os.close(program)
    if not times:
        raise OSError(errno.ENODATA, "runs were not counted")
    return sorted(times)[len(times) // 2]


def _times_of(program: int) -> Sequence[int]:
    """Time of each of several runs, without the first."""
    times: list[int] = []
    before, until = read_runs(program), time.monotonic() + _RUNS_SECONDS
    for number in range(_RUNS):
        if number >= _FEWEST_RUNS and time.monotonic() > until:
            break
        _test_run(program)
        now = read_runs(program)
        if now.number == before.number + 1:
            times.append(now.ns - before.ns)
        before = now
    return times[1:]


class _TestRun(ctypes.Structure):
    """struct bpf_test_run_opts of libbpf 1.0, as far as it is used."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_void_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


def _test_run(program: int) -> None:
    library = load_libbpf()
    if not hasattr(library, "bpf_prog_test_run_opts"):
        raise OSError(errno.EOPNOTSUPP, "libbpf is too old for BPF_PROG_TEST_RUN")
    options = _TestRun(sz=ctypes.sizeof(_TestRun))
    failed: int = library.bpf_prog_test_run_opts(program, ctypes.byref(options))
    if failed:
        raise OSError(-failed, os.strerror(-failed))
