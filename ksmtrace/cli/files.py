"""Files that a command line names: of the verb's kind, and no capture lost to the next one."""

from __future__ import annotations

import argparse
import os
import stat
from errno import EACCES, ENOENT, EPERM

from ksmtrace.capture.bounds import later_segments
from ksmtrace.capture.target import is_head_of_capture
from ksmtrace.errors import KsmtraceError
from ksmtrace.probemap.format import FORMAT as PROBE_MAP
from ksmtrace.report.write import MARK

_LOOKED_AT = 1 << 16

_TAKEN_BY = {
    "a capture": ("replay", "report", "whatif"),
    "a workload": ("simulate", "whatif"),
    "a page of ksmtrace report": (),
    "a probe map": ("live --probe-map",),
    "an ELF file": ("probemap",),
}
"""What files can be, and the verbs that take one, the most likely first."""

_PLAIN = {"capture": "a capture", "workload": "a workload", "vmlinux": "an ELF file"}


def add_force_option(parser: argparse.ArgumentParser) -> None:
    """`--force`, by which an older capture may be replaced."""
    parser.add_argument("--force", action="store_true", help="replace a capture that is there")


def output_name(text: str) -> str:
    """The name of a file to write, as an option's value.

    Raises:
        ArgumentTypeError: it names none.
    """
    if text == "-":
        raise argparse.ArgumentTypeError(
            "'-' is standard output, which this is not written to: name a file (./- for that name)"
        )
    if not text:
        raise argparse.ArgumentTypeError("'' is no name of a file")
    return text


def check_input(path: str, *wanted: str) -> None:
    """Whether the file at `path` may be what a verb takes, by how it begins.

    Args:
        path: as given.
        wanted: "capture", "workload", "vmlinux"; one of them is what is taken.

    Raises:
        KsmtraceError: there is none, or it is one of another verb.
    """
    what = " or ".join(wanted)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise KsmtraceError(f"{path}: is a directory: name a {what} in it")
        if not stat.S_ISREG(mode):
            return  # what a pipe gives, it gives once
        with open(path, "rb") as file:
            head = file.read(_LOOKED_AT)
    except OSError as error:
        if error.errno == ENOENT and "capture" in wanted and _segments(path):
            return  # the first has gone, as of a flight recorder
        raise _cannot_be_read(path, error, what) from error
    except ValueError:
        raise KsmtraceError(f"{path!r} is no name of a file") from None
    kind = _kind(path, head)
    if kind is None or kind in {_PLAIN[one] for one in wanted}:
        return
    verbs = _TAKEN_BY[kind]
    remedy = f"try ksmtrace {verbs[0]} {path}" if verbs else f"give the {what} itself"
    raise KsmtraceError(f"{path}: is {kind}, and no {what}: {remedy}")


def check_unrecorded(path: str, *, force: bool) -> None:
    """Whether a capture may be written at `path`: not over an older one, unless by `force`.

    Raises:
        KsmtraceError: there is one.
    """
    if not force and any(map(_is_capture, [path, *_segments(path)])):
        raise KsmtraceError(
            f"{path}: there is a capture already: give --force to replace it, or another name"
        )


def _is_capture(path: str) -> bool:
    """Whether there is a capture at `path`; what cannot be read is said by who writes."""
    try:
        with open(path, "rb") as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            return regular and is_head_of_capture(file.read(_LOOKED_AT))
    except OSError:
        return False


def _segments(path: str) -> list[str]:
    try:
        return later_segments(path)
    except OSError:
        return []


def _kind(path: str, head: bytes) -> str | None:
    """What of `_TAKEN_BY` a file is, None where that is not clear."""
    if is_head_of_capture(head):
        return "a capture"
    if head.startswith(b"\x7fELF"):
        return "an ELF file"
    if MARK.encode() in head:
        return "a page of ksmtrace report"
    if head.lstrip().startswith(b"{") and f'"{PROBE_MAP}"'.encode() in head:
        return "a probe map"
    if path.endswith(".toml") or b"[[step]]" in head:
        return "a workload"
    return None


def _cannot_be_read(path: str, error: OSError, what: str) -> KsmtraceError:
    if error.errno == ENOENT:
        return KsmtraceError(f"{path}: no such file: check the name of the {what}")
    remedy = "check its name"
    if error.errno in (EACCES, EPERM):
        remedy = "ask its owner for permission, or use sudo"
    return KsmtraceError(f"{path}: cannot be read: {error.strerror}: {remedy}")
