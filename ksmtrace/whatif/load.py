"""Loads a case from a file, which is a capture or a workload."""

from __future__ import annotations

from pathlib import Path

from ksmtrace.capture.decoded import MOST_BATCH_BYTES
from ksmtrace.capture.reader import is_capture
from ksmtrace.errors import KsmtraceError
from ksmtrace.whatif.capture_case import capture_case
from ksmtrace.whatif.case import Case
from ksmtrace.workload.file import load_workload

_CAPTURE, _WORKLOAD = ".ksmtrace", ".toml"

_OF_SET = (
    "what the steps `set` write holds from there on in every scenario that was not asked "
    "for another value"
)


def load_case(path: str, most_batch_bytes: int = MOST_BATCH_BYTES) -> tuple[Case, list[str]]:
    """The case of a capture or a workload, and warnings about what is missing from a capture.

    Raises:
        KsmtraceError: there is no such file, it is neither, or it cannot be used.
    """
    file = Path(path)
    try:
        if file.is_dir():
            raise KsmtraceError(f"{path}: is a directory: name a capture or a workload in it")
        capture = file.suffix != _WORKLOAD and (file.suffix == _CAPTURE or is_capture(path))
    except OSError as error:
        raise KsmtraceError(f"{path}: {error.strerror or error}") from error
    return capture_case(file, most_batch_bytes) if capture else (_workload_case(file), [])


def _workload_case(file: Path) -> Case:
    try:
        workload = load_workload(file)
    except KsmtraceError as error:
        if file.suffix == _WORKLOAD:
            raise
        raise KsmtraceError(f"neither a capture nor a workload: {error}") from error
    has_set = any(step.op == "set" for step in workload.steps)
    return Case("workload", workload.name, workload, assumptions=(_OF_SET,) if has_set else ())
