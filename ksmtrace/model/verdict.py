"""The verdict on KSM on this host: worth it or not, with the reasons.

Nothing here loads NumPy: the command line has a threshold of the verdict as a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ksmtrace.units import share, size

MOST_CHANGE_RATIO = 0.01
"""Of pages_sharing, from one pass end to the next: less than this is quiet."""

CORE_WORTH_BYTES = 4 << 30
"""What a core is worth, in memory, unless something else is asked for: general-purpose machines are
sold with about 4 GiB for each hardware thread. What saves less with a core is cheaper bought."""

LITTLE_BYTES = 32 << 20
"""Where less than this is saved, and less than this spent, neither matters to anybody."""


class Answer(StrEnum):
    """What can be said of KSM."""

    OFF = "KSM is off"
    NOTHING = "nothing to merge"
    NOT_SETTLED = "not yet settled"
    NOT_KNOWN = "not known"
    TOO_LITTLE = "too little to matter"
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
        core_worth_bytes: memory that a core is worth.
        copying_cores: of `cost_cores`, those of the copies; None where these are not timed.
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
    core_worth_bytes: int = CORE_WORTH_BYTES
    copying_cores: float | None = None

    @property
    def cost_bytes(self) -> int | None:
        """What the cores that are spent are worth; None where they are not known."""
        return None if self.cost_cores is None else round(self.cost_cores * self.core_worth_bytes)

    @property
    def bytes_per_core(self) -> float | None:
        """Bytes saved per core; None where no time was spent, or one of the two is unknown."""
        if not self.cost_cores or self.saved_bytes is None:
            return None
        return self.saved_bytes / self.cost_cores


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer and why.

    Attributes:
        change: what would make it another one, as a sentence; "" for what is worth it.
    """

    answer: Answer
    reasons: tuple[str, ...]
    change: str = ""

    @property
    def sentence(self) -> str:
        """All of it, on one line."""
        answer = f"{self.answer.value[0].upper()}{self.answer.value[1:]}"
        return f"{answer}: {'; '.join(self.reasons)}. {self.change}".rstrip()


def judge(facts: Facts) -> Verdict:
    """The first answer that applies, in the order of `Answer`.

    KSM is off: `run` is not 1, and ksmd did nothing or keeps track of nothing any more. Nothing to
    merge: no rmap_item at all; or, where these are not known, nothing is saved and nothing kept.
    Not yet settled: pages_sharing still changes by `MOST_CHANGE_RATIO` a pass, or too few passes
    were seen to tell. Not known: this run does not show what is saved, or what KSM takes for it,
    which might be more. Too little to matter: less than `LITTLE_BYTES` is saved or lost after KSM's
    own bookkeeping, and the cores that it took are worth less. Costs more: what is saved after the
    bookkeeping is less than these cores are worth.
    """
    held = f"{size(facts.saved_bytes)} stay saved" if facts.saved_bytes else "nothing is saved"
    if facts.run not in (None, "1") and (not facts.active or facts.rmap_items == 0):
        return Verdict(
            Answer.OFF,
            (f"run is {facts.run}", held),
            "What KSM would save is seen only while it runs: switch it on, and trace again.",
        )
    if facts.rmap_items == 0:
        return Verdict(
            Answer.NOTHING,
            ("no process has mergeable memory that ksmd has met",),
            "Processes have to declare memory mergeable, by madvise or prctl.",
        )
    if not facts.settled:
        return Verdict(
            Answer.NOT_SETTLED,
            (_unrest(facts),),
            f"Trace until {facts.gauge} changes by less than {MOST_CHANGE_RATIO:.0%} in two passes "
            "that follow one another.",
        )
    if facts.rmap_items is None and facts.saved_bytes == 0 and facts.net_saved_bytes == 0:
        return Verdict(
            Answer.NOTHING,
            ("nothing was found to merge, and nothing is kept",),
            "Processes have to declare memory mergeable.",
        )
    return _weigh(facts)


def _weigh(facts: Facts) -> Verdict:
    saved, net, cost = facts.saved_bytes, facts.net_saved_bytes, facts.cost_bytes
    if saved is None or net is None:
        reasons: tuple[str, ...] = ("what is saved is not known",)
        if saved is not None:
            reasons = (f"{size(saved)} saved", "KSM's own bookkeeping is not known")
        remedy = "ksmtrace doctor says what would let it be seen."
        return Verdict(Answer.NOT_KNOWN, reasons, remedy)
    reasons = (f"{size(saved)} saved, {size(net)} net of KSM's own bookkeeping",)
    if cost is not None:
        reasons += (_cost(facts, cost),)
    else:
        reasons += ("CPU time is not known",)
    if cost is None and 0 < net < facts.core_worth_bytes:
        return Verdict(
            Answer.NOT_KNOWN,
            reasons,
            f"With {size(facts.core_worth_bytes)} saved it would be worth it whatever ksmd, which "
            "is one thread, takes.",
        )
    if cost is not None and abs(net) < LITTLE_BYTES and cost < LITTLE_BYTES:
        return Verdict(
            Answer.TOO_LITTLE,
            reasons,
            f"It matters from {size(LITTLE_BYTES)} on, saved or spent.",
        )
    if net <= 0:
        return Verdict(
            Answer.COSTS_MORE,
            reasons,
            "Only more equal pages would make it worth it; with less memory declared mergeable it "
            "costs less.",
        )
    if cost is not None and net < cost:
        cores = max(net, LITTLE_BYTES) / facts.core_worth_bytes
        change = (
            f"It would be worth it with {share(cores)} of a core or less, or with {size(cost)} "
            "saved."
            if net >= LITTLE_BYTES
            else f"With less than {share(cores)} of a core it would be too little to matter, and "
            f"with {size(cost)} saved worth it."
        )
        return Verdict(Answer.COSTS_MORE, reasons, change)
    return Verdict(Answer.WORTH_IT, reasons)


def _cost(facts: Facts, cost: int) -> str:
    """What is spent, in cores and in memory."""
    if not facts.cost_cores:
        return "no CPU time spent"
    worth = f"{size(cost)} at {size(facts.core_worth_bytes)} a core"
    ksmd = f"ksmd takes {share(facts.cost_cores - (facts.copying_cores or 0))} of a core"
    if not facts.copying_cores:
        return f"{ksmd}, worth {worth}"
    return (
        f"{ksmd} and copies of written pages {share(facts.copying_cores)}, together worth {worth}"
    )


def _unrest(facts: Facts) -> str:
    if facts.change_ratio is None:
        return "too few passes were seen whole"
    if facts.change_ratio < MOST_CHANGE_RATIO:
        return "the last pass was quiet, one more tells"
    return f"{facts.gauge} changed by {facts.change_ratio:.0%} in the last pass"
