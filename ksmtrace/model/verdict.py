"""The verdict on KSM on this host: worth it or not, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ksmtrace.model.settling import MOST_CHANGE_RATIO

LEAST_GIB_PER_CORE = 4.0
"""A core's worth of memory: general-purpose machines are sold with about 4 GiB for each hardware
thread. What saves less with a whole core would be cheaper to buy as memory."""


class Answer(StrEnum):
    """What can be said of KSM."""

    OFF = "KSM is off"
    NOTHING = "nothing to merge"
    NOT_SETTLED = "not yet settled"
    NOT_KNOWN = "not known"
    COSTS_MORE = "costs more than it saves"
    WORTH_IT = "worth it"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the answer rests on; None where the run does not know it.

    Attributes:
        run: the tunable `run` now.
        active: ksmd examined pages or ended a pass.
        rmap_items: pages that KSM keeps track of.
        saved_bytes: by shared pages and zero pages.
        net_saved_bytes: less KSM's own bookkeeping.
        cost_cores: cores that ksmd and the copies of written pages took.
        settled, change_ratio: as in `Settling`.
        gauge: the counter that has settled or not, by its name.
    """

    run: str | None
    active: bool
    rmap_items: int | None
    saved_bytes: int | None
    net_saved_bytes: int | None
    cost_cores: float | None
    settled: bool | None
    change_ratio: float | None
    gauge: str = "pages_sharing"

    @property
    def bytes_per_core(self) -> float | None:
        """Bytes saved per core; None where no time was spent, or one of the two is unknown."""
        if not self.cost_cores or self.saved_bytes is None:
            return None
        return self.saved_bytes / self.cost_cores


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer and why."""

    answer: Answer
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Both, on one line."""
        return f"{self.answer.value[0].upper()}{self.answer.value[1:]}: {'; '.join(self.reasons)}."


def judge(facts: Facts) -> Verdict:
    """The first answer that applies, in the order of `Answer`.

    KSM is off: `run` is not 1 and ksmd did nothing. Nothing to merge: no rmap_item at all; or,
    where these are not known, nothing is saved and nothing kept. Not yet settled: pages_sharing
    still changes by `MOST_CHANGE_RATIO` a pass, or too few passes were seen to tell. Not known:
    this run does not show what is saved, or what KSM takes for it. Costs more: nothing is left of
    what is saved after KSM's own bookkeeping, or less than `LEAST_GIB_PER_CORE` is saved for each
    core that is spent.
    """
    held = f"{size(facts.saved_bytes)} stay saved" if facts.saved_bytes else "nothing is saved"
    if facts.run not in (None, "1") and not facts.active:
        return Verdict(Answer.OFF, (f"run is {facts.run}", held))
    if facts.rmap_items == 0:
        return Verdict(Answer.NOTHING, ("no process has mergeable memory that ksmd has met",))
    if not facts.settled:
        return Verdict(Answer.NOT_SETTLED, (_unrest(facts),))
    if facts.rmap_items is None and facts.saved_bytes == 0 and facts.net_saved_bytes == 0:
        return Verdict(Answer.NOTHING, ("nothing was found to merge, and nothing is kept",))
    return _weigh(facts)


def _weigh(facts: Facts) -> Verdict:
    net, per_core = facts.net_saved_bytes, facts.bytes_per_core
    if net is None and facts.saved_bytes is None:
        return Verdict(Answer.NOT_KNOWN, ("what is saved is not known",))
    if net is None:
        saved = f"{size(facts.saved_bytes)} saved"
        return Verdict(Answer.NOT_KNOWN, (saved, "KSM's own bookkeeping is not known"))
    saves = f"{size(facts.saved_bytes)} saved, {size(net)} net of KSM's own bookkeeping"
    if net <= 0:
        return Verdict(Answer.COSTS_MORE, (saves,))
    if per_core is None:
        unknown = facts.cost_cores is None
        spent = "CPU time is not known" if unknown else "it took no CPU time"
        return Verdict(Answer.WORTH_IT, (saves, spent))
    cost = f"{facts.cost_cores:.1%} of a core, {size(round(per_core))} saved a core"
    if per_core < LEAST_GIB_PER_CORE * 2**30:
        return Verdict(
            Answer.COSTS_MORE,
            (saves, f"{cost}, less than the {LEAST_GIB_PER_CORE:g} GiB it is worth"),
        )
    return Verdict(Answer.WORTH_IT, (saves, cost))


def _unrest(facts: Facts) -> str:
    if facts.change_ratio is None:
        return "too few passes were seen whole"
    if facts.change_ratio < MOST_CHANGE_RATIO:
        return "the last pass was quiet, one more tells"
    return f"{facts.gauge} changed by {facts.change_ratio:.0%} in the last pass"


def size(value_bytes: int | None) -> str:
    """Bytes in words, as "3.3 MiB"."""
    if value_bytes is None:
        return "an unknown amount"
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if abs(value_bytes) >= 1 << power:
            return f"{value_bytes / (1 << power):,.1f} {unit}"
    return f"{value_bytes} bytes"
