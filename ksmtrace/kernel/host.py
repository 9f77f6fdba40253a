"""Facts about this host that decide what can be traced: kernel release, build id, ksmd, bcc."""

from __future__ import annotations

import glob
import os
import platform
import struct
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from ksmtrace.errors import HostError
from ksmtrace.kernel.btf import VMLINUX, Btf
from ksmtrace.kernel.distribution import read_distribution
from ksmtrace.kernel.files import process_ids, read_bytes, read_text
from ksmtrace.kernel.sysfs import ROOT
from ksmtrace.session import Kernel

Bcc = Any
"""The module bcc, or one of its objects: it has no types."""

DISTRIBUTIONS_MODULES = ("/usr/lib/python3/dist-packages", "/usr/lib*/python3*/site-packages")
"""Where Debian's relatives, and others, put modules for their own Python."""

_NT_GNU_BUILD_ID = 3


def read_kernel(root: Path = ROOT) -> Kernel:
    """The running kernel."""
    return Kernel(
        release=platform.release(),
        build_id=read_build_id(root),
        machine=platform.machine(),
        page_size_bytes=os.sysconf("SC_PAGE_SIZE"),
        **_struct_sizes(root),
    )


def _struct_sizes(root: Path) -> dict[str, int]:
    """Facts of `Kernel` by BTF, none without: CONFIG_NUMA and the size of a pointer decide."""
    try:
        btf = Btf(root / VMLINUX.relative_to("/"))
    except HostError:
        return {}
    try:
        return {
            f"{name}_size_bytes": btf.size(kernels)
            for name in ("rmap_item", "stable_node")
            for kernels in (f"ksm_{name}", name)  # the first since 6.1
            if btf.has_struct(kernels)
        }
    finally:
        btf.close()


def read_build_id(root: Path = ROOT) -> str:
    """GNU build id of the running kernel as hex, from /sys/kernel/notes; "" if it has none."""
    notes = read_bytes(root / "sys/kernel/notes") or b""
    offset = 0
    while offset + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, offset)
        name_at = offset + 12
        at = name_at + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and notes[name_at : name_at + name_size] == b"GNU\0":
            return notes[at : at + size].hex()
        offset = at + (size + 3) // 4 * 4
    return ""


def find_ksmd(root: Path = ROOT) -> int | None:
    """Process id of the kernel thread ksmd, or None: it runs on every kernel that has KSM."""
    return find_kernel_thread("ksmd", root)


def find_kernel_thread(name: str, root: Path = ROOT) -> int | None:
    """Process id of a kernel thread, or None."""
    for pid in process_ids(root):
        # A process may call itself so; only a kernel thread has an empty command line and parent 2.
        before, _, after = (read_text(root / f"proc/{pid}/stat") or "").rpartition(")")
        if before.partition("(")[2] == name and after.split()[1:2] in (["2"], ["0"]):
            return pid
    return None


def import_bcc() -> Bcc:
    """The module bcc of the distribution.

    A Python that does not look among the distribution's modules, as those that pipx and uv set up,
    gets this one from there: it is of Python alone, and loads libbcc.so by itself.

    Raises:
        HostError: it is missing, or is PyPI's unrelated package of the same name.
    """
    remedy = read_distribution().install_bcc()
    try:
        bcc = _import_bcc()
    except (ImportError, OSError) as error:  # OSError: its libbcc.so cannot be loaded
        raise HostError(f"bcc cannot be imported ({error}): {remedy}") from error
    if not hasattr(bcc, "BPF"):
        where = getattr(bcc, "__file__", None) or "an unknown place"
        raise HostError(
            f"the bcc in {where} is PyPI's crystal-lattice library, "
            f"not the BPF Compiler Collection: pip uninstall bcc; {remedy}"
        )
    return bcc


def _import_bcc() -> Bcc:
    try:
        import bcc

        return bcc
    except ModuleNotFoundError as error:
        if error.name != "bcc":
            raise
        for pattern in DISTRIBUTIONS_MODULES:
            for found in sorted(glob.glob(f"{pattern}/bcc/__init__.py"), reverse=True):
                return _import_from(Path(found))
        raise


def _import_from(file: Path) -> Bcc:
    name = file.parent.name
    spec = spec_from_file_location(name, file, submodule_search_locations=[str(file.parent)])
    assert spec is not None
    assert spec.loader is not None, "a file of Python has one"
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
