"""Offsets of struct members and names of types, from the running kernel's BTF by way of libbpf."""

from __future__ import annotations

import ctypes
import struct
from collections import defaultdict
from functools import cached_property
from pathlib import Path

from ksmtrace.errors import HostError
from ksmtrace.kernel.distribution import read_distribution

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_STRUCT, _UNION, _ENUM, _TYPEDEF, _FUNC = 4, 5, 6, 8, 12
_MODIFIERS = (_TYPEDEF, 9, 10, 11)  # volatile, const, restrict
_INFO_KIND_SHIFT, _INFO_KIND_MASK, _INFO_VLEN_MASK = 24, 0x1F, 0xFFFF


def load_libbpf() -> ctypes.CDLL:
    """libbpf, with the signatures of its BTF functions.

    Raises:
        HostError: it is missing.
    """
    for name in ("libbpf.so.1", "libbpf.so.0"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.btf__parse.restype = ctypes.c_void_p
        library.btf__parse.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
        library.btf__find_by_name_kind.argtypes = [
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_uint32,
        ]
        library.btf__find_by_name_kind.restype = ctypes.c_int32
        library.btf__type_by_id.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        library.btf__type_by_id.restype = ctypes.c_void_p
        library.btf__name_by_offset.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
        library.btf__name_by_offset.restype = ctypes.c_char_p
        library.btf__type_cnt.argtypes = [ctypes.c_void_p]
        library.btf__type_cnt.restype = ctypes.c_uint32
        library.btf__free.argtypes = [ctypes.c_void_p]
        return library
    raise HostError(f"libbpf is missing: {read_distribution().install_libbpf()}")


class Btf:
    """The types of one kernel.

    Raises:
        HostError: the kernel has no BTF, or libbpf is missing.
    """

    def __init__(self, path: Path = VMLINUX) -> None:
        if not path.exists():
            raise HostError(
                f"no BTF: {path} is missing; the kernel must be built with CONFIG_DEBUG_INFO_BTF=y"
            )
        self._lib = load_libbpf()
        self._btf: int | None = self._lib.btf__parse(str(path).encode(), None)
        if not self._btf or self._btf > 2**64 - 4096:
            raise HostError(f"BTF in {path} cannot be read by libbpf (is it of a newer format?)")
        self._paths: dict[tuple[str, str], int | None] = {}

    def close(self) -> None:
        """Free the memory."""
        if self._btf:
            self._lib.btf__free(self._btf)
            self._btf = None

    def has_typedef(self, name: str) -> bool:
        """Whether a typedef of this name exists; `btf_trace_<name>` is that of a raw tracepoint."""
        return bool(self._lib.btf__find_by_name_kind(self._btf, name.encode(), _TYPEDEF) > 0)

    def has_struct(self, name: str) -> bool:
        """Whether a struct of this name exists."""
        return bool(self._lib.btf__find_by_name_kind(self._btf, name.encode(), _STRUCT) > 0)

    def function(self, name: str) -> tuple[int, int] | None:
        """(type id, number of parameters) of a function that has a symbol of its own, or None."""
        identity: int = self._lib.btf__find_by_name_kind(self._btf, name.encode(), _FUNC)
        if identity <= 0:
            return None
        prototype = self._head(identity)[2]
        info = self._head(prototype)[1]
        return identity, info & _INFO_VLEN_MASK

    def struct(self, name: str) -> int | None:
        """Type id of a struct, or None."""
        identity: int = self._lib.btf__find_by_name_kind(self._btf, name.encode(), _STRUCT)
        return identity if identity > 0 else None

    def size(self, name: str) -> int:
        """Size of a struct in bytes.

        Raises:
            HostError: there is no such struct.
        """
        return self._head(self._find(name))[2]

    def offset(self, name: str, member: str) -> int:
        """Offset of a member in bytes, also one inside anonymous structs and unions.

        `member` may be a path, as in "slot.mm".

        Raises:
            HostError: there is no such struct or member.
        """
        found = self._path(name, member)
        if found is None:
            raise HostError(
                f"BTF has no member {member!r} in struct {name}: this kernel is not known yet"
            )
        return found

    def enumerator(self, name: str, enumerator: str) -> int | None:
        """Value of an enumerator of an enum, None where the kernel has no such one."""
        identity: int = self._lib.btf__find_by_name_kind(self._btf, name.encode(), _ENUM)
        if identity <= 0:
            return None
        address = self._type(identity)
        count = struct.unpack("<III", ctypes.string_at(address, 12))[1] & _INFO_VLEN_MASK
        for name_offset, value in struct.iter_unpack(
            "<Ii", ctypes.string_at(address + 12, 8 * count)
        ):
            if self._lib.btf__name_by_offset(self._btf, name_offset) == enumerator.encode():
                return int(value)
        return None

    def has_member(self, name: str, member: str) -> bool:
        """Whether a struct of this name has this member (a path, as for `offset`)."""
        return self.has_struct(name) and self._path(name, member) is not None

    def _path(self, name: str, member: str) -> int | None:
        """Offset of a member, in the first struct of that name that has the member."""
        if (name, member) not in self._paths:
            self._paths[name, member] = self._look_for(name, member)
        return self._paths[name, member]

    def _look_for(self, name: str, member: str) -> int | None:
        first = self._find(name)
        found = self._walk(first, member)
        if found is not None:
            return found
        where, _, _ = self._head(first)
        for identity in self._structs[where]:
            found = self._walk(identity, member)
            if found is not None:
                return found
        return None

    @cached_property
    def _structs(self) -> dict[int, list[int]]:
        """Type ids of structs, in order, by the place of their name; equal names are one string.

        Made once: a kernel has a hundred thousand types, and is asked for many members that it has
        not.
        """
        found = defaultdict(list)
        for identity in range(1, self._lib.btf__type_cnt(self._btf)):
            name_offset, info, _ = self._head(identity)
            if (info >> _INFO_KIND_SHIFT) & _INFO_KIND_MASK == _STRUCT:
                found[name_offset].append(identity)
        return found

    def _walk(self, identity: int, member: str) -> int | None:
        total = 0
        for part in member.split("."):
            found = self._member(identity, part)
            if found is None:
                return None
            identity, total = found[0], total + found[1]
        return total

    def _head(self, identity: int) -> tuple[int, int, int]:
        """Place of the name, info, and size or type, of a type."""
        return struct.unpack("<III", ctypes.string_at(self._type(identity), 12))

    def _find(self, name: str) -> int:
        identity: int = self._lib.btf__find_by_name_kind(self._btf, name.encode(), _STRUCT)
        if identity <= 0:
            raise HostError(f"BTF has no struct {name}: this kernel is not known yet")
        return identity

    def _type(self, identity: int) -> int:
        address: int = self._lib.btf__type_by_id(self._btf, identity)
        return address

    def _member(self, identity: int, wanted: str) -> tuple[int, int] | None:
        """(type id, offset in bytes) of a member, searched in anonymous members too."""
        address = self._type(identity)
        _, info, target = struct.unpack("<III", ctypes.string_at(address, 12))
        kind = (info >> _INFO_KIND_SHIFT) & _INFO_KIND_MASK
        if kind in _MODIFIERS:
            return self._member(target, wanted)
        if kind not in (_STRUCT, _UNION):
            return None
        count = info & _INFO_VLEN_MASK
        members = struct.iter_unpack("<III", ctypes.string_at(address + 12, 12 * count))
        for name_offset, member_type, bits in members:
            name = self._lib.btf__name_by_offset(self._btf, name_offset)
            offset = (bits & 0xFFFFFF if info >> 31 else bits) // 8
            if name == wanted.encode():
                return member_type, offset
            if not name:
                inner = self._member(member_type, wanted)
                if inner is not None:
                    return inner[0], offset + inner[1]
        return None
