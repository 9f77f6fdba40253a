"""Which captures can be compared with the engine, and with which variant of it."""

from __future__ import annotations

import re
from dataclasses import replace

from ksmtrace.engine.ksm.tunables import DEFAULTS
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.variants import KERNELS, VARIANTS
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
"""Kinds of events without which decisions cannot be followed."""


def variant_of(session: Session) -> Variant:
    """The engine's variant for the kernel that a session is of.

    An engine's run names its own. Else the newest variant that is no newer than the kernel, the oldest where all are newer;
    the tunables that the session shows decide which of them there are, since 6.6 to 6.10 stand between two variants.
    """
    release = session.kernel.release
    if release in VARIANTS:
        return VARIANTS[release]
    known = sorted((_number(name), variant) for name, variant in KERNELS.items())
    chosen = known[0][1]
    for number, variant in known:
        if number <= _number(release):
            chosen = variant
    if not session.tunables:
        return chosen
    return replace(chosen, absent_tunables=frozenset(DEFAULTS) - session.tunables.keys())


def check_session(session: Session) -> None:
    """Refuse what cannot be compared.

    Raises:
        KsmtraceError: kinds of events are missing, the capture is limited to some processes, or its engine had no ksmd.
    """
    if session.kernel.release in VARIANTS.keys() - KERNELS.keys():
        raise KsmtraceError(f"--engine: {session.kernel.release} has no ksmd to compare with")
    needed = [*NEEDED]
    if "smart_scan" in session.tunables:
        needed.append(EventKind.SKIPPED)
    missing = [kind.name.lower() for kind in needed if not session.sees(kind)]
    if missing:
        raise KsmtraceError(
            f"--engine: this capture (tier {session.tier}) does not hold what decisions are made of, "
            f"{', '.join(missing)}: record where `ksmtrace doctor` says full"
        )
    if session.only_pids:
        raise KsmtraceError(
            "--engine: this capture is limited to some processes: record without --pid"
        )


def _number(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
