"""What `live` needs on a host: each thing found, or missing with the remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ksmtrace.errors import HostError
from ksmtrace.kernel.btf import VMLINUX, Btf, load_libbpf
from ksmtrace.kernel.distribution import Distribution
from ksmtrace.kernel.host import find_ksmd, import_bcc
from ksmtrace.kernel.presence import why_no_ksm, why_no_ksmd
from ksmtrace.kernel.privileges import why_unprivileged
from ksmtrace.kernel.sysfs import read_tunables

KSM = "KSM"
"""Name of the one check that `--probes sysfs` needs too."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that tracing needs.

    Attributes:
        detail: what was found.
        remedy: what to do about it; "" where nothing is amiss.
    """

    name: str
    passed: bool
    detail: str
    remedy: str = ""


class _MissingError(Exception):
    """A check fails; the arguments are detail and remedy."""


def run_checks(distribution: Distribution, root: Path) -> tuple[Check, ...]:
    """Every check, in the order in which things must be there."""
    looks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("ksmd", lambda: _ksmd(root)),
        ("privileges", lambda: _privileges(root)),
        ("BTF", lambda: _btf(distribution, root)),
        ("libbpf", lambda: _libbpf(distribution)),
        ("bcc", lambda: _bcc(distribution)),
    )
    return (_ksm(root), *(_check(name, look) for name, look in looks))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, passed=True, detail=look())
    except _MissingError as missing:
        detail, remedy = missing.args
        return Check(name, passed=False, detail=detail, remedy=remedy)


def _ksm(root: Path) -> Check:
    absence = why_no_ksm(root)
    if absence is not None:
        return Check(KSM, passed=False, detail=absence.found, remedy=absence.remedy)
    state = read_tunables(root).get("run", "?")
    if state == "1":
        return Check(KSM, passed=True, detail="on")
    # Switched off is no failure: a trace of it is true, and short.
    remedy = "echo 1 > /sys/kernel/mm/ksm/run"
    return Check(KSM, passed=True, detail=f"switched off (run is {state})", remedy=remedy)


def _ksmd(root: Path) -> str:
    ksmd = find_ksmd(root)
    if ksmd is None:
        raise _MissingError(*why_no_ksmd(root))
    return f"pid {ksmd}"


def _privileges(root: Path) -> str:
    why = why_unprivileged(root)
    if why:
        raise _MissingError(why, "run it with sudo")
    user = os.geteuid()
    return f"capabilities of user {user}" if user else "root"


def _btf(distribution: Distribution, root: Path) -> str:
    path = root / VMLINUX.relative_to("/")
    if not path.exists():
        remedy = "boot a kernel built with CONFIG_DEBUG_INFO_BTF=y"
        raise _MissingError(f"{VMLINUX} is missing", remedy)
    try:
        load_libbpf()
    except HostError:
        return f"{VMLINUX}, not read"
    try:
        Btf(path).close()
    except HostError as error:
        raise _MissingError(str(error), f"update libbpf: {distribution.install_libbpf()}") from None
    return str(VMLINUX)


def _libbpf(distribution: Distribution) -> str:
    try:
        library = load_libbpf()
    except HostError:
        raise _MissingError("libbpf is missing", distribution.install_libbpf()) from None
    return os.path.basename(library._name)


def _bcc(distribution: Distribution) -> str:
    try:
        bcc = import_bcc()
    except (HostError, OSError) as error:
        remedy = distribution.install_bcc()
        # An OSError: the module is there, and its library libbcc is not.
        cause = error if isinstance(error, OSError) else error.__cause__
        if cause is not None:
            detail = f"the module bcc cannot be imported ({cause})"
            raise _MissingError(detail, remedy) from None
        raise _MissingError(
            "the module bcc here is PyPI's crystal-lattice library, "
            "not the BPF Compiler Collection",
            f"pip uninstall bcc; {remedy}",
        ) from None
    return f"{getattr(bcc, '__version__', 'of unknown version')} from {Path(bcc.__file__).parent}"
