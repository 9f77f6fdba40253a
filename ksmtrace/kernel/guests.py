r"""Names of guests, from the command lines of the programs that run them.

QEMU, `-name` (system/vl.c, the option list "name", whose implied key is "guest"; a comma in a value
is doubled): libvirt, Proxmox, Incus, LXD and Kata give it. Firecracker, `--id`, which its jailer
passes on; without, the path of its API socket or of its configuration. cloud-hypervisor has no
name: whoever starts it names its API socket after the guest, or the directory that it is in (Kata),
or hands it over open (`fd=3`, libvirt); then systemd's scope tells, as
`machine-ch\x2d3\x2dNAME.scope`. crosvm: `--name`, else the control socket.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath

_PLAIN = re.compile(
    r"(?:clh-?|ch-?|fc-?|vm-?|crosvm-?|firecracker-?|cloud-hypervisor-?)?"
    r"(?:api|sock|socket|control|config|firecracker|vmconfig|vm_config)?(?:-?sock(?:et)?)?",
    re.IGNORECASE,
)
"""Names of sockets and files that every guest's are called, without their ending."""
_SCOPE = re.compile(r"machine-(?:[a-z]+-)?\d+-(.+)\.scope")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")

Words = Sequence[str]


def parse_vm(words: Words, cgroup: str = "") -> str:
    """The name of the guest that a command line runs, "" where it runs none.

    A guest that has no name there has that of its scope of systemd, else the program's.

    Args:
        words: the command line.
        cgroup: the process's.
    """
    if not words:
        return ""
    program = PurePath(words[0]).name.lstrip(".").removesuffix("-wrapped")
    for called, (is_it, name_of) in _PROGRAMS.items():
        if is_it(program):
            return name_of(words[1:]) or _scope(cgroup) or called
    return ""


def _qemu(words: Words) -> str:
    name = ""
    for value in _values(words, "-name", "--name"):  # options of one list are merged
        for at, option in enumerate(_options(value)):
            key, equals, text = option.partition("=")
            if equals and key == "guest":
                name = text
            elif not equals and not at:
                name = key
    return name


def _firecracker(words: Words) -> str:
    paths = (*_values(words, "--api-sock"), *_values(words, "--config-file"))
    return _last(words, "--id") or next(filter(None, map(_by_path, paths)), "")


def _cloud_hypervisor(words: Words) -> str:
    for value in _values(words, "--api-socket"):
        option = value.split(",")[0].removeprefix("path=")
        if option and not option.startswith("fd="):
            return _by_path(option)
    return ""


def _crosvm(words: Words) -> str:
    if words[:1] != ["run"]:
        return ""
    paths = (*_values(words, "--socket"), *_values(words, "-s"))
    return _last(words, "--name") or next(filter(None, map(_by_path, paths)), "")


def _kata_shim(words: Words) -> str:
    """Kata's shim is itself the monitor where its hypervisor is Dragonball."""
    return _last(words, "-id")


def _kvmtool(words: Words) -> str:
    return _last(words, "--name") or _last(words, "-n")


def _begins(*beginnings: str) -> Callable[[str], bool]:
    """Packages and releases add a version, an architecture or a variant to a program's name."""
    return lambda program: any(
        program == one or program.startswith((f"{one}-", f"{one}_")) for one in beginnings
    )


_PROGRAMS: Mapping[str, tuple[Callable[[str], bool], Callable[[Words], str]]] = {
    "qemu": (_begins("qemu-system", "qemu-kvm", "qemu-lite-system", "kvm"), _qemu),
    "firecracker": (_begins("firecracker"), _firecracker),
    "cloud-hypervisor": (_begins("cloud-hypervisor"), _cloud_hypervisor),
    "crosvm": (_begins("crosvm"), _crosvm),
    "stratovirt": (_begins("stratovirt"), _qemu),
    "kata": (_begins("containerd-shim-kata-v2"), _kata_shim),
    "kvmtool": (_begins("lkvm", "kvmtool"), _kvmtool),
}
"""By what a guest without a name is called."""


def _options(value: str) -> list[str]:
    """An option list of QEMU: divided at commas, of which a doubled one is a comma of the value."""
    return [one.replace("\0", ",") for one in value.replace(",,", "\0").split(",")]


def _by_path(path: str) -> str:
    """What a socket or file is called, or the nearest directory that is not called alike always."""
    place = PurePath(path)
    stem = place.name.removesuffix("-socket")
    stem = stem.rpartition(".")[0] or stem
    if not _PLAIN.fullmatch(stem):
        return stem
    parent = place.parent.name
    return parent if parent and parent not in ("run", "tmp", "root", "..", ".") else ""


def _scope(cgroup: str) -> str:
    """The machine whose scope of systemd-machined a cgroup is in; "" where it is in none."""
    for name in cgroup.split("/"):
        plain = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name)
        found = _SCOPE.fullmatch(plain)
        if found:
            return found[1]
    return ""


def _last(words: Words, *options: str) -> str:
    *_, last = ("", *_values(words, *options))
    return last


def _values(words: Words, *options: str) -> Iterator[str]:
    """What follows one of `options`, or is after a "=" in the same word."""
    for index, word in enumerate(words):
        for option in options:
            if word == option and index + 1 < len(words):
                yield words[index + 1]
            elif word.startswith(f"{option}=") and option.startswith("--"):
                yield word.removeprefix(f"{option}=")
