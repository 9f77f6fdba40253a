"""The page gauges as every analyzer tells them: one value of each, whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping

from ksmtrace.events.kinds import Gauge
from ksmtrace.model.reconstruction import Reconstruction
from ksmtrace.model.shares import Attribution, attribution_of
from ksmtrace.session import Session


def gauges_now(
    session: Session, reconstruction: Reconstruction | None, counters: Mapping[Gauge, int]
) -> dict[Gauge, int | None]:
    """The four page gauges: reconstructed where all is seen, else the kernel's.

    Where removals are not seen, what is reconstructed is too much, and where not all is known yet
    too little; so it is told only where the kernel's own was not read. None where neither is known.

    Args:
        session: what this run sees.
        reconstruction: ksmd's state; None before the first batch.
        counters: the kernel's, as last read.
    """
    if reconstruction is None:
        return {}
    ours = reconstruction.gauges()
    if attribution_of(session, reconstruction) is Attribution.EXACT:
        return ours
    return {gauge: counters.get(gauge, value) for gauge, value in ours.items()}
