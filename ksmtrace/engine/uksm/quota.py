"""How many pages uksmd visits in a wake-up: shares of CPU time, by what a page takes."""

from __future__ import annotations

from ksmtrace.engine.uksm.state import Uksm

TIME_RATIO_SCALE = 10000

_PROBE_SLEEP_EVERY = 8
"""After so many rounds a sleep that was lengthened becomes what was written."""


def rung_real_ratio(uksm: Uksm, cpu_ratio: int) -> int:
    """A rung's share of one CPU in 1/10000, at least 1 (rung_real_ratio)."""
    if cpu_ratio > 0:
        return cpu_ratio
    return max(1, -cpu_ratio * uksm.max_cpu_percentage // 100)


def calc_scan_pages(uksm: Uksm) -> None:
    """Give each rung its quota and its step for the next wake-up (uksm_calc_scan_pages).

    The time that a page takes is given, not measured. A quota of 0, at which UKSM would stop the
    kernel (BUG_ON), is 1 here.
    """
    if uksm.eval_round % _PROBE_SLEEP_EVERY == 0:
        uksm.sleep_jiffies = uksm.sleep_saved
    ratio = rung_real_ratio(uksm, uksm.rungs[0].cpu_ratio)
    if _nanoseconds(uksm, ratio) < uksm.page_time:
        microseconds = uksm.page_time * (TIME_RATIO_SCALE - ratio) // ratio // 1000
        uksm.sleep_jiffies = -(-microseconds // 1000) + 1
    for rung in uksm.rungs:
        ratio = rung_real_ratio(uksm, rung.cpu_ratio)
        rung.pages_to_scan = max(1, _nanoseconds(uksm, ratio) // uksm.page_time)
        rung.calc_step(uksm.page_time, ratio)


def _nanoseconds(uksm: Uksm, ratio: int) -> int:
    # cpu_ratio_to_nsec: of CPU time, so that sleep is what is left to the others
    return 1000 * 1000 * uksm.sleep_jiffies // (TIME_RATIO_SCALE - ratio) * ratio
