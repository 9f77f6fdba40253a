"""Which Linux distribution this host runs, and its commands that install what ksmtrace needs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.kernel.files import read_text
from ksmtrace.kernel.sysfs import ROOT


@dataclass(frozen=True, slots=True)
class Packages:
    """Names of packages, and commands, of one family of distributions.

    Attributes:
        install: the command that installs a package.
        bcc, libbpf: packages with the Python module bcc, and with libbpf.
        libbpf_before: first release with `libbpf`, by distribution, and the package that older ones
            have.
        symbols: command that installs the kernel's debug information; "" where there is no such
            package.
        vmlinux: where that command puts it; "" where this differs between releases.
    """

    install: str
    bcc: str
    libbpf: str
    libbpf_before: Mapping[str, tuple[tuple[int, ...], str]]
    symbols: str = ""
    vmlinux: str = ""


_DEBIAN = Packages(
    "apt-get install",
    "python3-bpfcc",
    "libbpf1",
    {"debian": ((12,), "libbpf0"), "ubuntu": ((23, 4), "libbpf0")},
    "apt-get install linux-image-{release}-dbg",
    "/usr/lib/debug/boot/vmlinux-{release}",
)
_UBUNTU = Packages(
    _DEBIAN.install,
    _DEBIAN.bcc,
    _DEBIAN.libbpf,
    _DEBIAN.libbpf_before,
    "apt-get install linux-image-{release}-dbgsym (from the ddebs archive)",
    _DEBIAN.vmlinux,
)
_FEDORA = Packages(
    "dnf install",
    "python3-bcc",
    "libbpf",
    {},
    "dnf debuginfo-install kernel-core-{release}",
    "/usr/lib/debug/lib/modules/{release}/vmlinux",
)
_SUSE = Packages(
    "zypper install",
    "python3-bcc",
    "libbpf1",
    {},
    "zypper install kernel-default-debuginfo (from the debug repository)",
)
_ARCH = Packages("pacman -S", "python-bcc", "libbpf", {})
_ALPINE = Packages("apk add", "py3-bcc", "libbpf", {})

_BY_ID: Mapping[str, Packages] = {
    "debian": _DEBIAN,
    "ubuntu": _UBUNTU,
    "fedora": _FEDORA,
    "rhel": _FEDORA,
    "centos": _FEDORA,
    "rocky": _FEDORA,
    "almalinux": _FEDORA,
    "opensuse": _SUSE,
    "opensuse-leap": _SUSE,
    "opensuse-tumbleweed": _SUSE,
    "suse": _SUSE,
    "sles": _SUSE,
    "arch": _ARCH,
    "alpine": _ALPINE,
}


@dataclass(frozen=True, slots=True)
class Distribution:
    """One distribution, by its /etc/os-release; strings are "" where that lacks them.

    Attributes:
        name: for people, as in "Debian GNU/Linux 12 (bookworm)".
        identity: `ID`.
        like: `ID_LIKE`, nearest first.
        version: `VERSION_ID` as numbers.
    """

    name: str = ""
    identity: str = ""
    like: tuple[str, ...] = ()
    version: tuple[int, ...] = ()

    @property
    def _packages(self) -> Packages | None:
        known = (_BY_ID.get(identity) for identity in (self.identity, *self.like))
        return next((packages for packages in known if packages is not None), None)

    def install_bcc(self) -> str:
        """How to get the Python module bcc: a command, else a sentence."""
        packages = self._packages
        if packages is None:
            return (
                "install the Python 3 module of bcc, the BPF Compiler Collection, "
                "from the distribution"
            )
        return f"{packages.install} {packages.bcc}"

    def install_libbpf(self) -> str:
        """How to get libbpf, likewise."""
        packages = self._packages
        if packages is None:
            return "install libbpf, 1.0 or later, from the distribution"
        first, older = packages.libbpf_before.get(self.identity, ((), ""))
        old = bool(self.version) and self.version < first
        return f"{packages.install} {older if old else packages.libbpf}"

    def install_symbols(self, release: str) -> str:
        """How to get the debug information of the kernel `release`, likewise.

        A distribution that is only like another one names its kernels in its own way, and gets the
        sentence.
        """
        packages = _BY_ID.get(self.identity)
        if packages is None or not packages.symbols:
            return (
                "get the vmlinux with debug information of this very build, "
                "from the distribution or its build tree"
            )
        return packages.symbols.format(release=release)

    def vmlinux(self, release: str) -> str:
        """Path at which `install_symbols` puts the vmlinux; "VMLINUX" where that is not known."""
        packages = _BY_ID.get(self.identity)
        path = packages.vmlinux if packages is not None else ""
        return path.format(release=release) or "VMLINUX"


def read_distribution(root: Path = ROOT) -> Distribution:
    """This host's distribution, by its os-release file; an empty one where none can be read."""
    for path in ("etc/os-release", "usr/lib/os-release"):
        text = read_text(root / path)
        if text is None:
            continue
        facts = dict(_assignments(text))
        return Distribution(
            name=facts.get("PRETTY_NAME") or facts.get("NAME", ""),
            identity=facts.get("ID", "").lower(),
            like=tuple(facts.get("ID_LIKE", "").lower().split()),
            version=tuple(
                int(part) for part in re.findall(r"[0-9]{1,9}", facts.get("VERSION_ID", ""))
            ),
        )
    return Distribution()


def _assignments(text: str) -> list[tuple[str, str]]:
    """KEY=value pairs, unquoted as a shell does; lines with a syntax error are left out."""
    found = []
    for line in text.splitlines():
        key, equals, value = line.strip().partition("=")
        if not equals or key.startswith("#"):
            continue
        try:
            found.append((key, "".join(shlex.split(value))))
        except ValueError:
            continue
    return found
