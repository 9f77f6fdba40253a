"""Reads from /proc a process's cgroup, the guest that it runs, and its counters of KSM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from ksmtrace.events.kinds import ProcessGauge
from ksmtrace.kernel.files import NOT_AS_KNOWN, UNREAD, number, read_bytes, read_lines
from ksmtrace.kernel.sysfs import ROOT


def read_cgroup(pid: int, root: Path = ROOT) -> str:
    """Path of a process's cgroup below the mount, as the reader's own cgroup namespace shows it.

    It is the one of the unified hierarchy, else of the memory controller; "" when there is no such
    process or no cgroup.
    """
    found = ""
    for line in read_lines(root / f"proc/{pid}/cgroup"):
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (hierarchy == "0" and not controllers) or (
            not found and "memory" in controllers.split(",")
        ):
            found = path
    return found


def read_vm(pid: int, root: Path = ROOT) -> str:
    """Name of the guest that the process runs, "" when it runs none that its command line names."""
    line = read_bytes(root / f"proc/{pid}/cmdline") or b""
    return parse_vm([word.decode("utf-8", "replace") for word in line.rstrip(b"\0").split(b"\0")])


def read_rest(pid: int, root: Path = ROOT) -> int | None:
    """How often the task had gone to sleep by itself when it fell into the sleep that it is in.

    None while it works, waits uninterruptibly, or is no more.
    """
    found: dict[str, str] = dict(
        line.partition(":")[::2] for line in read_lines(root / f"proc/{pid}/status")
    )
    if found.get("State", "").split()[:1] not in (["S"], ["I"]):
        return None
    return number(found.get("voluntary_ctxt_switches", "0").strip())


def parse_vm(words: Sequence[str]) -> str:
    """The guest's name in a command line of QEMU, Firecracker or cloud-hypervisor, else "".

    QEMU has `-name guest=NAME,…` or `-name NAME`; Firecracker `--id NAME`; cloud-hypervisor no
    name, but an API socket that whoever starts it names after the guest. Guests without a name are
    called after the program.
    """
    if not words:
        return ""
    program = PurePath(words[0]).name
    if program.startswith("qemu-system-") or program in ("qemu-kvm", "kvm"):
        options = _value(words, "-name", "--name").split(",")
        named = [o.removeprefix("guest=") for o in options if o.startswith("guest=")]
        first = options[0] if "=" not in options[0] else ""
        return (named or [first])[0] or "qemu"
    if program == "firecracker":
        return _value(words, "--id") or "firecracker"
    if program == "cloud-hypervisor":
        socket = _value(words, "--api-socket").removeprefix("path=").split(",")[0]
        return PurePath(socket).stem or "cloud-hypervisor"
    return ""


def read_ksm_stat(pid: int, root: Path = ROOT) -> dict[ProcessGauge, int]:
    """The kernel's counters of a process, as far as this kernel has them (none before 5.19).

    They are pages, except ksm_process_profit, which is bytes. Empty when the process is gone or may
    not be read.
    """
    found: dict[ProcessGauge, int] = {}
    path = root / f"proc/{pid}/ksm_stat"
    for line in read_lines(path):
        name, _, text = line.partition(" ")
        member = ProcessGauge.__members__.get(name.upper())
        if member is not None:
            _take(found, member, text, path)
    if ProcessGauge.KSM_MERGING_PAGES not in found:
        path = root / f"proc/{pid}/ksm_merging_pages"
        for line in read_lines(path):
            _take(found, ProcessGauge.KSM_MERGING_PAGES, line, path)
    return found


def _take(found: dict[ProcessGauge, int], member: ProcessGauge, text: str, path: Path) -> None:
    value = number(text.strip())
    if value is None:
        UNREAD.note(path, NOT_AS_KNOWN)
    else:
        found[member] = value


def _value(words: Sequence[str], *options: str) -> str:
    for index, word in enumerate(words):
        for option in options:
            if word == option and index + 1 < len(words):
                return words[index + 1]
            if word.startswith(f"{option}="):
                return word.removeprefix(f"{option}=")
    return ""
