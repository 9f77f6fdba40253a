"""The writable files of /sys/kernel/mm/uksm, and what this model needs besides."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from ksmtrace.engine.uksm.quota import TIME_RATIO_SCALE
from ksmtrace.engine.uksm.state import SCAN_LADDER_SIZE, Uksm

_LONG_MAX = 2**63 - 1
_UINT_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Governor:
    """A preset (struct uksm_cpu_preset_s); `cpu_ratios` below 0 are shares of max_cpu_percentage.

    Attributes:
        cpu_ratios: by rung, shares of one CPU in 1/10000.
        cover_msecs: by rung, in what time it is to be covered.
        max_cpu_percentage: of one CPU.
    """

    cpu_ratios: tuple[int, ...]
    cover_msecs: tuple[int, ...]
    max_cpu_percentage: int


GOVERNORS = {
    "full": Governor((20, 40, -2500, -10000), (1000, 500, 200, 50), 95),
    "medium": Governor((20, 30, -2500, -10000), (1000, 500, 400, 100), 50),
    "low": Governor((10, 20, -5000, -10000), (1500, 1000, 1000, 250), 20),
    "quiet": Governor((10, 20, 40, 75), (2000, 1000, 1000, 1000), 1),
}
"""The presets by name, the default first."""

DEFAULTS: dict[str, int | str] = {
    "cpu_governor": "full",
    "max_cpu_percentage": 95,
    "sleep_millisecs": 100,
    "abundant_threshold": 10,
    "thrash_threshold": 50,
    "cpu_ratios": "20 40 MAX/4 MAX/1",
    "eval_intervals": "1000 500 200 50",
    "page_time_ns": 500,
    "memcmp_cost": 174,
    "seed": 0,
}
"""The files of UKSM, and three that it has not: what it measures, or draws by lot, is given here.

A governor comes first: it replaces what some of the others say.
"""


def check_tunable(name: str, value: int | str) -> None:
    """Raise OSError for a value that UKSM refuses: EINVAL, or ENOENT without such a file."""
    if name not in _STORES:
        raise OSError(errno.ENOENT, f"ENOENT on writing {value} to {name}")
    _STORES[name](str(value).strip())


def store_tunable(uksm: Uksm, name: str, value: int | str) -> None:
    """Write `value` to a file (the *_store functions).

    A governor replaces ratios, intervals and max_cpu_percentage. Ratios hold from the next quotas
    on, at the end of the next wake-up.

    Raises:
        OSError: it is refused: ENOENT, EINVAL, or for `seed` EBUSY once a page has been hashed.
    """
    check_tunable(name, value)
    _STORES[name](str(value).strip())(uksm)


def shown_tunables(uksm: Uksm) -> dict[str, str]:
    """What the files show, by name."""
    return {
        "cpu_governor": uksm.governor,
        "max_cpu_percentage": str(uksm.max_cpu_percentage),
        "sleep_millisecs": str(uksm.sleep_jiffies),
        "abundant_threshold": str(uksm.abundant_threshold),
        "thrash_threshold": str(uksm.thrash_threshold),
        "cpu_ratios": " ".join(_ratio_text(rung.cpu_ratio) for rung in uksm.rungs),
        "eval_intervals": " ".join(str(rung.cover_msecs) for rung in uksm.rungs),
        "page_time_ns": str(uksm.page_time),
        "memcmp_cost": str(uksm.memcmp_cost),
        "seed": str(uksm.seed),
    }


Store = Callable[[Uksm], None]
"""Stores a value that has been found good."""


def _number(text: str, least: int, most: int) -> int:
    if not (text.isdecimal() and text.isascii() and least <= int(text[:30]) <= most):
        raise OSError(errno.EINVAL, f"EINVAL on writing {text[:60]}")
    return int(text)


def _attribute(attribute: str, least: int, most: int) -> Callable[[str], Store]:
    def read(text: str) -> Store:
        value = _number(text, least, most)
        return lambda uksm: setattr(uksm, attribute, value)

    return read


def _max_cpu_percentage(text: str) -> Store:
    value = min(max(_number(text, 0, 100), 10), 99)
    return lambda uksm: setattr(uksm, "max_cpu_percentage", value)


def _sleep_millisecs(text: str) -> Store:
    value = _number(text, 0, 1000)

    def store(uksm: Uksm) -> None:
        uksm.sleep_saved = uksm.sleep_jiffies = value

    return store


def _cpu_governor(text: str) -> Store:
    # UKSM compares as far as its own names reach.
    name = next((name for name in reversed(GOVERNORS) if text.startswith(name)), None)
    if name is None:
        raise OSError(errno.EINVAL, f"EINVAL on writing {text[:60]}")
    preset = GOVERNORS[name]

    def store(uksm: Uksm) -> None:
        uksm.governor = name
        uksm.max_cpu_percentage = preset.max_cpu_percentage
        for rung in uksm.rungs:
            rung.cpu_ratio = preset.cpu_ratios[rung.number]
            rung.cover_msecs = preset.cover_msecs[rung.number]

    return store


def _cpu_ratios(text: str) -> Store:
    ratios = [_cpu_ratio(part) for part in _parts(text)]

    def store(uksm: Uksm) -> None:
        for rung, ratio in zip(uksm.rungs, ratios, strict=True):
            rung.cpu_ratio = ratio

    return store


def _cpu_ratio(text: str) -> int:
    if text.startswith("MAX/"):
        return -(TIME_RATIO_SCALE // _number(text.removeprefix("MAX/"), 1, TIME_RATIO_SCALE))
    # UKSM takes all of a CPU, too, and then divides by what is left.
    return _number(text, 1, TIME_RATIO_SCALE - 1)


def _eval_intervals(text: str) -> Store:
    values = [_number(part, 0, _UINT_MAX) for part in _parts(text)]

    def store(uksm: Uksm) -> None:
        for rung, value in zip(uksm.rungs, values, strict=True):
            rung.cover_msecs = value

    return store


def _seed(text: str) -> Store:
    value = _number(text, 0, _LONG_MAX)

    def store(uksm: Uksm) -> None:
        if uksm.seed == value:
            return
        if uksm.pages_scanned:
            raise OSError(errno.EBUSY, f"EBUSY on writing {value} to seed")
        uksm.draw(value)

    return store


def _parts(text: str) -> list[str]:
    parts = text.split(" ")
    if len(parts) != SCAN_LADDER_SIZE:
        raise OSError(errno.EINVAL, f"EINVAL on writing {text[:60]}")
    return parts


def _ratio_text(ratio: int) -> str:
    return str(ratio) if ratio > 0 else f"MAX/{TIME_RATIO_SCALE // -ratio}"


_STORES: dict[str, Callable[[str], Store]] = {
    "cpu_governor": _cpu_governor,
    "max_cpu_percentage": _max_cpu_percentage,
    "sleep_millisecs": _sleep_millisecs,
    "abundant_threshold": _attribute("abundant_threshold", 0, 99),
    "thrash_threshold": _attribute("thrash_threshold", 0, 99),
    "cpu_ratios": _cpu_ratios,
    "eval_intervals": _eval_intervals,
    "page_time_ns": _attribute("page_time", 1, 1_000_000),
    "memcmp_cost": _attribute("memcmp_cost", 0, 1_000_000),
    "seed": _seed,
}
