"""Rules that draw recommendations from the JSON document: each with threshold and source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from ksmtrace.model.verdict import Answer
from ksmtrace.units import share

MOST = 5
"""Recommendations given at once."""

SYSFS = "/sys/kernel/mm/ksm"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do.

    Attributes:
        rule: name of the rule.
        advice: what, in a sentence.
        evidence: the figures that say so.
        command: what would do it: for a shell, or a call of the process itself. Printed, never run.
    """

    rule: str
    advice: str
    evidence: str
    command: str

    def to_json(self) -> dict[str, str]:
        """By name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Facts:
    """What rules go by: the JSON document of a run, and the tunables at its end."""

    document: Mapping[str, Any]
    tunables: Mapping[str, str]

    def at(self, *path: str) -> Any:  # noqa: ANN401 - as the document has it
        """The value at this path of keys, or None."""
        found: Any = self.document
        for key in path:
            if not isinstance(found, Mapping) or found.get(key) is None:
                return None
            found = found[key]
        return found

    def number(self, *path: str) -> float | None:
        """The number at this path, or None."""
        found = self.at(*path)
        return found if isinstance(found, int | float) else None

    def of(self, analyzer: str, *path: str) -> float | None:
        """The number at this path in an analyzer's part, or None."""
        return self.number("analyzers", analyzer, *path)

    def tunable(self, name: str) -> int | None:
        """The tunable of this name, if it is a number."""
        text = self.tunables.get(name, "")
        return int(text) if text.isdecimal() else None

    @property
    def verdict(self) -> str | None:
        """The verdict of the balance sheet."""
        found: str | None = self.at("analyzers", "balance", "verdict")
        return found

    @property
    def matters_not(self) -> bool:
        """Whether there is nothing that less of would be better (the verdict of `balance`)."""
        return self.verdict in (Answer.NOTHING, Answer.TOO_LITTLE)

    @property
    def settled(self) -> bool:
        """Whether pages_sharing hardly changes from pass to pass."""
        return self.at("analyzers", "scan_cost", "settled") is True


Rule = Callable[[Facts], Recommendation | None]


def switch_on(facts: Facts) -> Recommendation | None:
    """KSM is off (the verdict of `balance`): only a run can show what it would save.

    Source: ksm.rst, "run".
    """
    if facts.verdict != Answer.OFF:
        return None
    return Recommendation(
        "switch_on",
        "Switch KSM on, and trace again: what it would save cannot be seen while it is off.",
        f"run is {facts.tunables.get('run')}",
        f"echo 1 > {SYSFS}/run",
    )


def declare_memory(facts: Facts) -> Recommendation | None:
    """No rmap_item at all (the verdict of `balance`): KSM merges only what is declared.

    Source: ksm.rst, madvise(2), prctl(2).
    """
    if facts.verdict != Answer.NOTHING:
        return None
    return Recommendation(
        "declare_memory",
        "Have processes declare memory that may be merged: by prctl for all of it, by madvise for "
        "a region.",
        "ksmd has met no mergeable page",
        "prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0); madvise(address, length, MADV_MERGEABLE); "
        "QEMU: -machine mem-merge=on; systemd: MemoryKSM=yes",
    )


def stop(facts: Facts) -> Recommendation | None:
    """Settled, and nothing is left of what is saved after KSM's own bookkeeping, which there is.

    Source: ksm.rst, "general_profit".
    """
    net = facts.of("balance", "total", "net_saved_bytes")
    if not facts.settled or net is None or net > 0 or facts.matters_not:
        return None
    if facts.tunables.get("run") == "2":
        return None
    items = facts.of("balance", "total", "rmap_items") or 0
    return Recommendation(
        "stop",
        "Switch KSM off and unmerge: it takes more memory than it saves.",
        f"net {net:,.0f} bytes, with {items:,.0f} pages tracked",
        f"echo 2 > {SYSFS}/run",
    )


BREAKS_A_MERGED_PAGE = 0.5
LEAST_BREAKS = 100


def unmerge_writers(facts: Facts) -> Recommendation | None:
    """A process wrote to at least 100 merged pages, and half as many as it has, and as joined.

    Merging them is work for nothing. Thresholds our own; source: ksm.rst, "cow_ksm".
    """
    for process in facts.at("analyzers", "balance", "breaking") or ():
        broken, joined = process["user_break_pages"], process["joined_pages"]
        merged = process["merged_pages"]
        if joined is None or merged is None:
            continue
        if broken < max(LEAST_BREAKS, BREAKS_A_MERGED_PAGE * max(joined, merged)):
            continue
        name = process["vm"] or process["comm"] or process["mm"]
        return Recommendation(
            "unmerge_writers",
            f"Take the memory of {name} (pid {process['pid']}) out of KSM, or the part of it that "
            "is written to.",
            f"it wrote to {broken:,} merged pages, while {joined:,} were merged; it has {merged:,}",
            "prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0); madvise(address, length, MADV_UNMERGEABLE); "
            "QEMU: -machine mem-merge=off",
        )
    return None


BUSY_CORES = 0.05
CALM_CORES = 0.02
_LONGEST_SLEEP = 10_000
_LEAST_PAGES = 100


def scan_slower(facts: Facts) -> Recommendation | None:
    """Settled, and ksmd still takes 5% of a core: let it take 2%.

    Threshold our own; source: ksm.rst, "sleep_millisecs". A batch takes
    w = sleep * cores / (1 - cores), so that sleep = w * 0.98 / 0.02; where that would be over 10 s,
    batches are too long, and pages_to_scan is lowered. With the advisor on, which would scan more
    pages a batch to make up for it, its target time is raised instead.
    """
    cores, sleep = facts.of("scan_cost", "ksmd_cores"), facts.tunable("sleep_millisecs")
    if not facts.settled or cores is None or cores < BUSY_CORES or sleep is None:
        return None
    if facts.matters_not:
        return None
    target = facts.tunable("advisor_target_scan_time")
    if facts.tunables.get("advisor_mode") == "scan-time" and target is not None:
        command = f"echo {ceil(target * cores / CALM_CORES)} > {SYSFS}/advisor_target_scan_time"
    else:
        work = sleep * cores / (1 - cores) if cores < 1 else 0
        longer = max(20, ceil(work * (1 - CALM_CORES) / CALM_CORES))
        if longer <= _LONGEST_SLEEP and longer > sleep:
            command = f"echo {longer} > {SYSFS}/sleep_millisecs"
        elif (fewer := int((facts.tunable("pages_to_scan") or 0) * sleep / longer)) >= _LEAST_PAGES:
            command = f"echo {fewer} > {SYSFS}/pages_to_scan"
        else:
            return None
    return Recommendation(
        "scan_slower",
        "Let ksmd scan slower: KSM has settled.",
        f"ksmd takes {share(cores)} of a core, settled after "
        f"{facts.of('scan_cost', 'settled_after_passes')} passes",
        command,
    )


LONG_PASS_SECONDS = 200


def scan_faster(facts: Facts) -> Recommendation | None:
    """Not settled, the advisor off, and a pass takes longer than 200 s.

    That is the advisor's own default target (mm/ksm.c, 6.8); a new page is merged in its second
    pass. Where there is no advisor, pages_to_scan is raised in proportion.
    """
    seconds = facts.of("scan_cost", "mean_pass_seconds")
    pages, mode = facts.tunable("pages_to_scan"), facts.tunables.get("advisor_mode")
    if facts.settled or seconds is None or seconds <= LONG_PASS_SECONDS or mode == "scan-time":
        return None
    if mode is not None:
        command = f"echo scan-time > {SYSFS}/advisor_mode"
    elif pages is not None:
        command = f"echo {ceil(pages * seconds / LONG_PASS_SECONDS)} > {SYSFS}/pages_to_scan"
    else:
        return None
    return Recommendation(
        "scan_faster",
        f"Have a pass take {LONG_PASS_SECONDS} s: a new page is merged only in its second pass.",
        f"a pass takes {seconds:,.0f} s, and KSM has not settled",
        command,
    )


UNMERGED_RATIO = 0.5


def use_smart_scan(facts: Facts) -> Recommendation | None:
    """smart_scan is 0, and half of the pages tracked are not merged: it would pass over those.

    Threshold our own; source: ksm.rst, "smart_scan".
    """
    gauges = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")
    counts = [facts.number("counters", gauge) for gauge in gauges]
    known = [count for count in counts if count is not None]
    if facts.tunable("smart_scan") != 0 or len(known) < len(gauges) or not sum(known):
        return None
    unmerged = known[2] + known[3]
    if unmerged < UNMERGED_RATIO * sum(known):
        return None
    return Recommendation(
        "use_smart_scan",
        "Let ksmd pass over pages that did not merge so far.",
        f"{unmerged:,.0f} of {sum(known):,.0f} pages tracked are not merged, and smart_scan is 0",
        f"echo 1 > {SYSFS}/smart_scan",
    )


ZERO_RATIO = 0.1


def use_zero_pages(facts: Facts) -> Recommendation | None:
    """use_zero_pages is 0, and a tenth of the pages of the last pass has the checksum of zeroes.

    It is 0x32d8bbdb, by xxh64. Mapped to the kernel's zero page they need no rmap_item.
    Source: ksm.rst, "use_zero_pages".
    """
    zeroes = facts.of("scan_cost", "last_pass_zero_checksum_pages")
    examined = facts.of("scan_cost", "last_pass_examined_pages")
    if facts.tunable("use_zero_pages") != 0 or not zeroes or not examined:
        return None
    if zeroes < ZERO_RATIO * examined:
        return None
    return Recommendation(
        "use_zero_pages",
        "Map pages of zeroes to the kernel's own zero page.",
        f"{zeroes:,.0f} of {examined:,.0f} pages of the last pass hold zeroes",
        f"echo 1 > {SYSFS}/use_zero_pages",
    )


EXTRA_COPIES_RATIO = 0.003
LEAST_EXTRA_COPIES = 256


def raise_max_page_sharing(facts: Facts) -> Recommendation | None:
    """Nodes near max_page_sharing, and chains whose further copies cost much.

    Chains are not fewer than before, and their further copies are 256 pages and 0.3% of
    pages_sharing; a limit of 256, the default, can cost 0.4% at most. The tunable is refused
    (EBUSY) while pages are shared. Source: ksm.rst.
    """
    chains, dups = (facts.number("counters", f"stable_node_{name}") for name in ("chains", "dups"))
    sharing, limit = facts.number("counters", "pages_sharing"), facts.tunable("max_page_sharing")
    sharers = facts.at("analyzers", "stable_tree", "node_sharers_pages")
    if not chains or not dups or not sharing or limit is None or sharers is None:
        return None
    full = sum(n for bound, n in sharers.items() if bound == "more" or int(bound) >= limit)
    before = facts.number("counters_at_start", "stable_node_chains") or 0
    least = max(LEAST_EXTRA_COPIES, EXTRA_COPIES_RATIO * sharing)
    if not full or chains < before or dups - chains < least:
        return None
    more = max(1024, 4 * limit)
    return Recommendation(
        "raise_max_page_sharing",
        "Let more pages share one copy.",
        f"{dups:,.0f} KSM pages stand for {chains:,.0f} contents, {full:,} of them near "
        f"max_page_sharing {limit}",
        f"echo 2 > {SYSFS}/run; echo {more} > {SYSFS}/max_page_sharing; echo 1 > {SYSFS}/run",
    )


WHETHER: tuple[Rule, ...] = (switch_on, declare_memory, stop)
"""Whether KSM should run: beside one of these, how it runs is no question."""

RULES: tuple[Rule, ...] = (
    *WHETHER,
    unmerge_writers,
    scan_slower,
    scan_faster,
    use_smart_scan,
    use_zero_pages,
    raise_max_page_sharing,
)
"""Most important first."""


def recommend(document: Mapping[str, Any], tunables: Mapping[str, str]) -> list[Recommendation]:
    """At most `MOST` recommendations, in the order of `RULES`, none of which opposes another.

    One of `WHETHER` stands alone.
    """
    facts = Facts(document, tunables)
    for rule in WHETHER:
        if (alone := rule(facts)) is not None:
            return [alone]
    given = (rule(facts) for rule in RULES[len(WHETHER) :])
    return [one for one in given if one is not None][:MOST]
