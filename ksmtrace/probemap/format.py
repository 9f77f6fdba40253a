"""Probe maps and their file format: JSON, for the kernel with one GNU build id.

Each value is checked when a map is read.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

from ksmtrace.errors import KsmtraceError
from ksmtrace.temporary import write_whole

FORMAT = "ksmtrace-probemap"
VERSION = 1
MACHINE = "x86_64"

REGISTERS = (
    *("ax", "dx", "cx", "bx", "si", "di", "bp", "sp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
)
"""Members of x86-64's struct pt_regs that hold arguments, in the order of DWARF's register
numbers."""

_LARGEST_FILE_BYTES = 16 << 20
_BUILD_ID = re.compile(r"[0-9a-f]{8,128}")
_NAME = re.compile(r"[A-Za-z_][\w.$]*", re.ASCII)


class LocationKind(StrEnum):
    """Where a value is.

    register: it is the register plus the offset (an offset other than 0 is the address of a
    variable in the frame). memory: it is in memory at the register plus the offset.
    """

    REGISTER = "register"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Location:
    """How a probe reads one argument from its struct pt_regs.

    Attributes:
        kind: whether register + offset is the value or its address.
        register: member of struct pt_regs, one of `REGISTERS`.
        offset: added to the register, in bytes.
        size_bytes: size of the value; the upper bytes of a register that is larger mean nothing.
    """

    kind: LocationKind
    register: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Site:
    """One place where a function begins.

    Attributes:
        symbol: name in kallsyms of the function that encloses the place; the function itself when
            not inlined.
        offset: of the place from that symbol, in bytes.
        inlined: whether the compiler put the function into another one here.
        arguments: by their names, in the order of the prototype; None where DWARF does not have
            the place of the value.
    """

    symbol: str
    offset: int
    inlined: bool
    arguments: Mapping[str, Location | None]


@dataclass(frozen=True, slots=True)
class ProbeMap:
    """The places in one build of the kernel where the functions that ksmtrace probes begin.

    Attributes:
        build_id: GNU build id, hex, as `ksmtrace.kernel.host.read_build_id` returns it.
        release: `uname -r` of the build, "" if unknown.
        machine: `uname -m` of the build.
        functions: by their names in mm/ksm.c; every place where each begins, in the order of
            addresses.
    """

    build_id: str
    release: str
    machine: str
    functions: Mapping[str, tuple[Site, ...]]

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ProbeMap:
        """The map in a file.

        Unknown keys are ignored.

        Raises:
            KsmtraceError: the file cannot be read, is no probe map, is damaged, or is of a newer
                version.
        """
        try:
            with open(path, "rb") as file:
                text = file.read(_LARGEST_FILE_BYTES + 1)
        except OSError as error:
            raise KsmtraceError(f"{os.fspath(path)}: {error.strerror}") from error
        if len(text) > _LARGEST_FILE_BYTES:
            raise KsmtraceError(f"{os.fspath(path)}: not a probe map: too large")
        try:
            return _parse_map(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise KsmtraceError(f"{os.fspath(path)}: not a usable probe map: {error}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the map; an older file at `path` is replaced in one step or stays as it was.

        Raises:
            KsmtraceError: `path` cannot be written.
        """
        document = {"format": FORMAT, "version": VERSION} | asdict(self)
        # A link stays a link, and /dev/stdout is never replaced by a file.
        target = Path(os.path.realpath(path))
        try:
            if os.path.lexists(path) and not os.path.isfile(path):
                raise KsmtraceError(f"{os.fspath(path)}: exists and is no regular file")
            write_whole(target, json.dumps(document, indent=1) + "\n", 0o666 & ~_umask())
        except OSError as error:
            raise KsmtraceError(f"{os.fspath(path)}: cannot write: {error.strerror}") from error

    def check(self, build_id: str) -> None:
        """Refuse any build of the kernel except the one that the map was made from.

        Raises:
            KsmtraceError: `build_id` is another one, or empty.
        """
        if build_id != self.build_id:
            raise KsmtraceError(
                f"the probe map is for kernel build {self.build_id} "
                f"({self.release or 'release unknown'}), "
                f"this kernel is build {build_id or 'unknown'}: "
                "make one of its own vmlinux with `ksmtrace probemap VMLINUX -o FILE`"
            )


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _parse_map(document: object) -> ProbeMap:
    values = _object(document, "the document")
    if values.get("format") != FORMAT:
        _refuse(f'"format" is not "{FORMAT}"')
    version = _integer(values, "version", "version", 1, 1 << 31)
    if version > VERSION:
        _refuse(f"version {version} is newer than {VERSION}: upgrade ksmtrace")
    build_id = _string(values, "build_id", "build_id", _BUILD_ID)
    machine = _string(values, "machine", "machine")
    if machine != MACHINE:
        _refuse(f"machine {machine[:32]!r} is not {MACHINE}")
    functions = _object(values.get("functions"), "functions")
    return ProbeMap(
        build_id=build_id,
        release=_string(values, "release", "release"),
        machine=machine,
        functions={name: _parse_sites(name, sites) for name, sites in functions.items()},
    )


def _parse_sites(name: str, sites: object) -> tuple[Site, ...]:
    if not _NAME.fullmatch(name):
        _refuse(f"{name[:64]!r} is no name of a function")
    if not isinstance(sites, list):
        _refuse(f"functions.{name} is no array")
    return tuple(_parse_site(f"functions.{name}[{n}]", site) for n, site in enumerate(sites))


def _parse_site(where: str, value: object) -> Site:
    site = _object(value, where)
    inlined = site.get("inlined")
    if not isinstance(inlined, bool):
        _refuse(f"{where}.inlined is neither true nor false")
    arguments = _object(site.get("arguments"), f"{where}.arguments")
    for name in arguments:
        if not _NAME.fullmatch(name):
            _refuse(f"{name[:64]!r} in {where} is no name of an argument")
    return Site(
        symbol=_string(site, "symbol", f"{where}.symbol", _NAME),
        offset=_integer(site, "offset", f"{where}.offset", 0, 1 << 31),
        inlined=inlined,
        arguments={
            name: None if place is None else _parse_location(f"{where}.arguments.{name}", place)
            for name, place in arguments.items()
        },
    )


def _parse_location(where: str, value: object) -> Location:
    place = _object(value, where)
    kind = _string(place, "kind", f"{where}.kind")
    if kind not in LocationKind.__members__.values():
        _refuse(f"{where}.kind is not one of {', '.join(LocationKind)}")
    register = _string(place, "register", f"{where}.register")
    if register not in REGISTERS:
        _refuse(f"{where}.register {register[:16]!r} is no register")
    largest = 8 if kind == LocationKind.REGISTER else 1 << 20
    return Location(
        kind=LocationKind(kind),
        register=register,
        offset=_integer(place, "offset", f"{where}.offset", -(1 << 31), 1 << 31),
        size_bytes=_integer(place, "size_bytes", f"{where}.size_bytes", 1, largest),
    )


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(f"{where} is no object")
    return value


def _string(
    values: dict[str, Any], key: str, where: str, form: re.Pattern[str] | None = None
) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not (form is None or form.fullmatch(value)):
        _refuse(f"{where} is {'missing' if key not in values else 'not what it should be'}")
    return value


def _integer(values: dict[str, Any], key: str, where: str, least: int, most: int) -> int:
    value = values.get(key)
    # JSON's true and false are integers to Python.
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(f"{where} is {'missing' if key not in values else 'no integer'}")
    if not least <= value <= most:
        _refuse(f"{where} is out of range")
    return value


def _refuse(reason: str) -> NoReturn:
    raise ValueError(reason)
