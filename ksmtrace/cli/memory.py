"""Memory that this process lacks, and the limit that it met."""

from __future__ import annotations

import errno
import resource

from ksmtrace.errors import HostError

LEAST_BYTES = 256 << 20
"""Of address space: with less, libraries that are loaded fail in ways of their own, by a crash
even."""
_WORDS = ("failed to map segment", "cannot allocate memory", "out of memory")


def check_memory() -> None:
    """Refuse to begin with too little.

    Raises:
        HostError: the address space is limited to less than `LEAST_BYTES`.
    """
    limit = _limit()
    if limit is not None and limit < LEAST_BYTES:
        raise HostError(
            f"the address space is limited to {limit >> 20} MiB (RLIMIT_AS), ksmtrace needs "
            f"{LEAST_BYTES >> 20} MiB or more: raise it, as by ulimit -v unlimited"
        )


def why_out_of_memory(error: BaseException) -> HostError | None:
    """The error to tell where memory ran out, perhaps of a library that was being loaded."""
    cause: BaseException | None = error
    while cause is not None:
        words = str(cause).lower()
        lacking = isinstance(cause, OSError) and cause.errno == errno.ENOMEM
        if lacking or isinstance(cause, MemoryError) or any(one in words for one in _WORDS):
            limit = _limit()
            at = "" if limit is None else f" (its address space is limited to {limit >> 20} MiB)"
            return HostError(
                f"memory ran out{at}: raise the limit on this process (ulimit -v, MemoryMax=), or "
                "free some"
            )
        cause = cause.__cause__
    return None


def _limit() -> int | None:
    """RLIMIT_AS in bytes, None for no limit."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
