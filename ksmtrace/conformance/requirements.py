"""Which captures can be compared with the engine."""

from __future__ import annotations

from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.variants import is_no_ksm
from ksmtrace.errors import KsmtraceError
from ksmtrace.events import EventKind
from ksmtrace.session import Session

NEEDED = (
    EventKind.CMP_AND_MERGE_PAGE,
    EventKind.TRY_TO_MERGE_ONE_PAGE,
    EventKind.BREAK_COW,
    EventKind.STABLE_APPEND,
    EventKind.REMOVE_RMAP_ITEM,
    EventKind.REMOVE_STABLE_NODE,
    EventKind.SCAN_START,
    EventKind.SCAN_STOP,
)
"""Kinds of events without which a capture cannot be compared."""


def check_session(session: Session) -> None:
    """Refuse what cannot be compared.

    Raises:
        KsmtraceError: kinds of events are missing, the capture is limited to some processes, or
            it is of an engine without ksmd, or of a kernel with pages of another size.
    """
    if is_no_ksm(session.kernel.release):
        raise KsmtraceError(
            f"--engine: {session.kernel.release} is no version of KSM, so that there is no ksmd to "
            "compare with: give the capture of a kernel"
        )
    if session.kernel.page_size_bytes != PAGE_SIZE:
        raise KsmtraceError(
            f"--engine: the pages of this capture ({session.kernel.machine}) have "
            f"{session.kernel.page_size_bytes} bytes, those of the engine {PAGE_SIZE}: "
            "give the capture of a kernel with such pages"
        )
    needed = [*NEEDED]
    if "smart_scan" in session.tunables:
        needed.append(EventKind.SKIPPED)
    missing = [kind.name.lower() for kind in needed if not session.sees(kind)]
    if missing:
        raise KsmtraceError(
            f"--engine: this capture (tier {session.tier}) does not hold what decisions are made "
            f"of, {', '.join(missing)}: record where `ksmtrace doctor` says full"
        )
    if session.only_pids:
        raise KsmtraceError(
            "--engine: this capture is limited to some processes: record without --pid"
        )
