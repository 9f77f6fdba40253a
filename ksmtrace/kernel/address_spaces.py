"""Whose address space is whose: the mm of every process, by a BPF iterator over tasks (5.8)."""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress
from typing import NamedTuple

from ksmtrace.kernel.bpf import TRACE_ITER, load_iterator
from ksmtrace.kernel.btf import Btf, load_libbpf

_PIECE_BYTES = 1 << 16
_ROW = struct.Struct("<QII16s")
_CALL, _EXIT = 0x85, 0x95
_PROBE_READ_KERNEL, _SEQ_WRITE = 113, 127
_R0, _R1, _R2, _R3, _R6, _R7, _FRAME = 0, 1, 2, 3, 6, 7, 10


class AddressSpace(NamedTuple):
    """A process's mm, as events name it, and the name of its first thread."""

    mm: int
    comm: bytes


def read_address_spaces(btf: Btf) -> dict[int, AddressSpace]:
    """The address space of each process of this pid namespace, by pid (tgid).

    Processes that share one (vfork, CLONE_VM) each have it. Kernel threads are not in it.

    Raises:
        HostError: BTF lacks a member of task_struct.
        OSError: the kernel has no such iterators, or refuses this one.
    """
    function = btf.function("bpf_iter_task")
    if function is None:
        raise OSError("this kernel has no BPF iterators over tasks")
    descriptors: list[int] = []
    try:
        descriptors.append(load_iterator(_program(btf), function[0]))
        descriptors.append(
            _made(load_libbpf().bpf_link_create(descriptors[0], 0, TRACE_ITER, None))
        )
        descriptors.append(_made(load_libbpf().bpf_iter_create(descriptors[1])))
        return _rows(_read_whole(descriptors[2]))
    finally:
        for descriptor in descriptors:
            with suppress(OSError):
                os.close(descriptor)


def _rows(read: bytes) -> dict[int, AddressSpace]:
    """The first thread speaks for its process, another one where it has ended before the others."""
    found: dict[int, AddressSpace] = {}
    whole = len(read) // _ROW.size * _ROW.size
    for mm, pid, tgid, comm in _ROW.iter_unpack(read[:whole]):
        if pid == tgid or tgid not in found:
            found[tgid] = AddressSpace(mm, comm)
    return found


def _read_whole(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, _PIECE_BYTES):
        pieces.append(piece)
    return b"".join(pieces)


def _made(descriptor: int) -> int:
    if descriptor < 0:
        # libbpf 1.0 returns -errno; before, -1
        number = -descriptor if descriptor < -1 else ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor


def _program(btf: Btf) -> bytes:
    """Writes a `_ROW` for each task that has an mm.

    The context is struct bpf_iter__task: meta, whose first member is the seq_file, and the task,
    NULL at the end.
    """
    mm, pid, tgid, comm = (
        btf.offset("task_struct", name) for name in ("mm", "pid", "tgid", "comm")
    )
    row = -_ROW.size
    body = [
        *_read_member(row, 8, mm),
        _instruction(0x79, _R1, _FRAME, row),  # r1 = *(u64 *)(r10 + row)
        None,  # if r1 == 0 goto the end
        *_read_member(row + 8, 4, pid),
        *_read_member(row + 12, 4, tgid),
        *_read_member(row + 16, 16, comm),
        _instruction(0xBF, _R1, _R7),
        _instruction(0xBF, _R2, _FRAME),
        _instruction(0x07, _R2, immediate=row),
        _instruction(0xB7, _R3, immediate=_ROW.size),
        _instruction(_CALL, immediate=_SEQ_WRITE),
    ]
    test = body.index(None)
    body[test] = _instruction(0x15, _R1, offset=len(body) - test - 1)
    code = [
        _instruction(0x79, _R6, _R1, 8),  # r6 = ctx->task
        _instruction(0x79, _R7, _R1, 0),  # r7 = ctx->meta
        _instruction(0x79, _R7, _R7, 0),  # r7 = meta->seq
        _instruction(0x15, _R6, offset=len(body)),  # if r6 == 0 goto the end
        *(instruction for instruction in body if instruction is not None),
        _instruction(0xB7, _R0),
        _instruction(_EXIT),
    ]
    return b"".join(code)


def _read_member(to: int, size: int, offset: int) -> list[bytes | None]:
    """bpf_probe_read_kernel(r10 + to, size, r6 + offset)."""
    return [
        _instruction(0xBF, _R1, _FRAME),
        _instruction(0x07, _R1, immediate=to),
        _instruction(0xB7, _R2, immediate=size),
        _instruction(0xBF, _R3, _R6),
        _instruction(0x07, _R3, immediate=offset),
        _instruction(_CALL, immediate=_PROBE_READ_KERNEL),
    ]


def _instruction(
    operation: int, to: int = 0, by: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    """One struct bpf_insn."""
    return struct.pack("<BBhi", operation, by << 4 | to, offset, immediate)
