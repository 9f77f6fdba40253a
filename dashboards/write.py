"""Writes the dashboards and rules that are installed with ksmtrace to a directory: all or none."""

from __future__ import annotations

import json
import os
import tempfile
from importlib.resources import files
from pathlib import Path

from ksmtrace.errors import KsmtraceError

RULES = "rules/ksmtrace.rules.yaml"
"""Where the rules are, among the files written."""

_RULES_BEGIN = "# Rules of ksmtrace"


def shipped() -> dict[str, str]:
    """Text of each file, by its path below the directory that is written."""
    root = files("ksmtrace.dashboards")
    names = sorted(child.name for child in root.iterdir() if child.name.endswith(".json"))
    return {name: root.joinpath(name).read_text(encoding="utf-8") for name in (*names, RULES)}


def write_dashboards(directory: str) -> list[Path]:
    """Write every file of `shipped` below `directory`, made if need be; returns what was written.

    All are written beside their places first and moved there last: who reads meanwhile, as Grafana
    does, never finds half a file, and a full disk changes nothing.

    Raises:
        KsmtraceError: the directory cannot be written to, or a file of such a name is not ours.
    """
    if not directory:
        raise KsmtraceError("the name of the directory is empty: give one with -o DIR")
    target = Path(directory)
    texts = shipped()
    try:
        (target / RULES).parent.mkdir(parents=True, exist_ok=True)
        for name in texts:
            _check(target / name)
        with tempfile.TemporaryDirectory(dir=target, prefix=".ksmtrace-") as beside:
            staged = [Path(beside) / str(number) for number in range(len(texts))]
            for path, text in zip(staged, texts.values(), strict=True):
                _write(path, text)
            for path, name in zip(staged, texts, strict=True):
                os.replace(path, target / name)
    except OSError as error:
        raise KsmtraceError(
            f"cannot write to {directory}: {error.strerror or error}; "
            "give another directory with -o"
        ) from error
    return [target / name for name in texts]


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _check(path: Path) -> None:
    """Refuse to write over what is not ours.

    Raises:
        KsmtraceError: the file is there, and is neither empty nor an older one of these.
        OSError: it cannot be looked at.
    """
    if (path.exists() or path.is_symlink()) and not _is_ours(path):
        raise KsmtraceError(
            f"{path} exists and is not of ksmtrace: move it away or give another directory with -o"
        )


def _is_ours(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    text = path.read_bytes().decode("utf-8", "replace")
    if not text or path.suffix != ".json":
        return not text or text.startswith(_RULES_BEGIN)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("uid") == path.stem
