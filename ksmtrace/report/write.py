"""Writes the report's file in one step, and never over a file that is no report."""

from __future__ import annotations

import os
from pathlib import Path

from ksmtrace.errors import KsmtraceError
from ksmtrace.temporary import write_whole

MARK = '<meta name="generator" content="ksmtrace report">'
"""Element near the beginning of a page that marks it as a report, which may be replaced."""

_LOOKED_AT = 512


def check_target(path: str) -> Path:
    """The file to write, symbolic links followed.

    Raises:
        KsmtraceError: it is something else than a report, or its directory cannot be written to.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise KsmtraceError(f"{path}: is a directory: name a file in it with -o")
        if target.exists() and not _is_report(target):
            raise KsmtraceError(
                f"{path} exists and is no report of ksmtrace: "
                "remove it or give another name with -o"
            )
        if not target.parent.is_dir():
            raise KsmtraceError(f"{path}: there is no directory {target.parent}: create it first")
        if not os.access(target.parent, os.W_OK):
            raise KsmtraceError(f"{path}: its directory cannot be written to: give another with -o")
    except OSError as error:
        raise _cannot(path, error) from error
    return target


def write_report(target: Path, text: str) -> None:
    """Write `text` to `target`, which `check_target` has returned, in one step.

    The file is readable by its owner alone, as captures are.

    Raises:
        KsmtraceError: it cannot be written; an older file is left as it was.
    """
    try:
        write_whole(target, text)
    except OSError as error:
        raise _cannot(str(target), error) from error


def _is_report(path: Path) -> bool:
    """Whether a file is a report or empty."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    return not head or MARK.encode() in head


def _cannot(path: str, error: OSError) -> KsmtraceError:
    return KsmtraceError(
        f"cannot write {path}: {error.strerror or error}; give another file with -o"
    )
