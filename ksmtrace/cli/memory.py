"""Memory that this process lacks, and the limit that it met."""

from __future__ import annotations

import errno
import resource

from ksmtrace.errors import HostError
from ksmtrace.lines import one_line

LEAST_BYTES = 256 << 20
"""Of address space: with less, libraries that are loaded fail in ways of their own, by a crash
even."""
_LIMITS = (
    ("address space", "RLIMIT_AS", "-v", LEAST_BYTES),
    ("data segment", "RLIMIT_DATA", "-d", LEAST_BYTES // 2),  # all private writable memory
)
_WORDS = ("failed to map segment", "cannot allocate memory", "out of memory")


def check_memory() -> None:
    """Refuse to begin with too little.

    Raises:
        HostError: the address space or the data segment is limited to too little.
    """
    for what, name, option, least in _LIMITS:
        limit = _limit(name)
        if limit is not None and limit < least:
            raise HostError(
                f"the {what} is limited to {limit >> 20} MiB ({name}), ksmtrace needs "
                f"{least >> 20} MiB or more: raise it, as by ulimit {option} unlimited"
            )


def why_out_of_memory(error: BaseException) -> HostError | None:
    """The error to tell where memory ran out, perhaps of a library that was being loaded."""
    cause: BaseException | None = error
    while cause is not None:
        words = one_line(cause).lower()
        lacking = isinstance(cause, OSError) and cause.errno == errno.ENOMEM
        if lacking or isinstance(cause, MemoryError) or any(one in words for one in _WORDS):
            met = [
                f"its {what} is limited to {limit >> 20} MiB"
                for what, name, _, _ in _LIMITS
                if (limit := _limit(name)) is not None
            ]
            at = f" ({', '.join(met)})" if met else ""
            return HostError(
                f"memory ran out{at}: raise the limit on this process (ulimit -v, -d, MemoryMax=), "
                "or free some"
            )
        cause = cause.__cause__
    return None


def _limit(name: str) -> int | None:
    """The limit of this name in bytes, None for no limit."""
    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else soft
