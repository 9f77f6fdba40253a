"""The frozen facts of one run: where events come from, which kernel, which probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from ksmtrace.events.kinds import RARE, EventKind


class Exactness(StrEnum):
    """How far a number can be trusted.

    exact: counted at a probe that sees every occurrence. derived: computed from neighbouring probes
    or from kernel structures. sampled: read now and then from sysfs or procfs. absent: not seen.
    """

    EXACT = "exact"
    DERIVED = "derived"
    SAMPLED = "sampled"
    ABSENT = "absent"


class Knowledge(StrEnum):
    """What events of a kind tell by some probes, and by others do not.

    who_broke: of a COW_FAULT, whether the process wrote or the kernel broke the sharing
    (`Flag.BY_KERNEL`).
    writes: who wrote to which KSM page: by COW_FAULTs where every one is seen, else derived from
    what ksmd finds to have left the stable tree.
    fault_times: how long writes to KSM pages take, of all or of those in windows.
    rmap_items: of CMP_AND_MERGE_PAGE, that an rmap_item is a page table entry of one process, met
    again in each pass with its checksum, and gone when the entry is.
    trees: of CMP_AND_MERGE_PAGE, in which tree the page is before and after.
    checksums: of CMP_AND_MERGE_PAGE, that a checksum is of the whole page and differs only where
    the page does, so that one that is unchanged and in no tree was kept from it.
    metadata: of CMP_AND_MERGE_PAGE, that rmap_items and stable nodes are all that is kept of pages.
    single_looks: of CMP_AND_MERGE_PAGE, that a pass comes to no page twice.
    times: of all events, that `ts` is a time, and does not only show the order.
    one_tree: of CMP_AND_MERGE_PAGE, that a page is compared with all others, so that nothing except
    max_page_sharing keeps it from a KSM page that is equal: not where each NUMA node has a tree
    (merge_across_nodes is 0), or each class of pages.
    ksm_files: that what merges is KSM, with the files of /sys/kernel/mm/ksm, by which it can be
    told to do otherwise.
    """

    WHO_BROKE = "who_broke"
    WRITES = "writes"
    FAULT_TIMES = "fault_times"
    RMAP_ITEMS = "rmap_items"
    TREES = "trees"
    CHECKSUMS = "checksums"
    METADATA = "metadata"
    SINGLE_LOOKS = "single_looks"
    TIMES = "times"
    ONE_TREE = "one_tree"
    KSM_FILES = "ksm_files"


_UNKNOWN = {
    Knowledge.WHO_BROKE: "who broke the sharing is not told",
    Knowledge.WRITES: "who writes to merged pages is not seen",
    Knowledge.FAULT_TIMES: "copies are not timed",
    Knowledge.RMAP_ITEMS: "what is tracked is no page table entry",
    Knowledge.TREES: "there are no trees",
    Knowledge.CHECKSUMS: "checksums do not tell whether a page changed",
    Knowledge.METADATA: "the bookkeeping is not known",
    Knowledge.SINGLE_LOOKS: "a pass comes to a page more than once",
    Knowledge.TIMES: "the clock is made up",
    Knowledge.ONE_TREE: "there are several trees",
    Knowledge.KSM_FILES: "this is not KSM",
}
"""What to say where a run does not know it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How one kind of event is seen in this run.

    Attributes:
        via: the attach points, or "" when absent.
        exactness: what the counts are worth.
        note: what cannot be known by it, or why a better one is out: for people.
        counter: the kernel's counter that is read instead, where only a total is seen; else "".
        lacks: what its events do not tell.
        share: of the time, in which it was asked to be attached, by windows at random; 1 where it
            always is. Windows show some events, each of them whole, and no count of all.
        counted: its events are counted and not sent: TOTAL records tell how many there were.
    """

    via: str
    exactness: Exactness
    note: str = ""
    counter: str = ""
    lacks: frozenset[Knowledge] = frozenset()
    share: float = 1.0
    counted: bool = False

    @property
    def mechanisms(self) -> frozenset[str]:
        """Of "kprobe" and "fentry", those by which it is attached (returns included)."""
        words = set(self.via.split())
        return frozenset(name for name, verbs in _FUNCTION_VERBS.items() if words & verbs)

    @property
    def by_windows(self) -> bool:
        """Whether its events are seen in windows alone."""
        return self.share < 1.0 and self.exactness is Exactness.SAMPLED

    def to_json(self) -> dict[str, Any]:
        """The probe as JSON values, of the last four those that are not empty.

        `from_json` is its inverse.
        """
        facts = {"via": self.via, "exactness": self.exactness.value, "note": self.note}
        counter = {"counter": self.counter} if self.counter else {}
        lacks = {"lacks": sorted(self.lacks)} if self.lacks else {}
        counted = {"counted": True} if self.counted else {}
        share = {"share": self.share} if self.share != 1.0 else {}
        return {**facts, **counter, **lacks, **counted, **share}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Probe:
        """Rebuild a probe from `to_json`'s values.

        Older captures name the counter in `via` alone, and a lack in the note.

        Raises:
            KeyError, TypeError, ValueError: a fact is missing or of the wrong type.
        """
        via, exactness, note = facts["via"], Exactness(facts["exactness"]), facts["note"]
        older = _counter_in(via) if exactness is Exactness.SAMPLED else ""
        counter = facts.get("counter", older)
        lacks = facts.get("lacks", [Knowledge.WHO_BROKE] if _WHO_BROKE_UNKNOWN in note else [])
        known = frozenset(one for one in Knowledge if one.value in lacks)
        share, counted = float(facts.get("share", 1.0)), bool(facts.get("counted", False))
        return cls(via, exactness, note, counter, known, share, counted)


_FUNCTION_VERBS = {
    "kprobe": frozenset({"kprobe", "kretprobe"}),
    "fentry": frozenset({"fentry", "fexit"}),
}
_WHO_BROKE_UNKNOWN = "not told apart"
"""Words of the note by which older captures show that WHO_BROKE is lacking."""


def _counter_in(via: str) -> str:
    """The counter that `via` names last, as it does in older captures; "" where it names none."""
    folder, _, counter = via.rpartition(" ")
    return counter if folder in ("/sys/kernel/mm/ksm", "/proc/vmstat") else ""


ENGINE = "engine"
"""The machine of a kernel that is none: ksmtrace's own model of KSM."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The traced kernel.

    Attributes:
        release: `uname -r`.
        build_id: of /sys/kernel/notes, hex.
        machine: `uname -m`, or `ENGINE`.
        page_size_bytes: of a small page.
        rmap_item_size_bytes: sizeof(struct ksm_rmap_item); where a capture lacks it, and the next,
            what they are in 64 bits with CONFIG_NUMA.
        stable_node_size_bytes: sizeof(struct ksm_stable_node).
    """

    release: str
    build_id: str
    machine: str
    page_size_bytes: int
    rmap_item_size_bytes: int = 64
    stable_node_size_bytes: int = 64

    def bookkeeping_bytes(self, rmap_items: int, shared: int, chains: int) -> int:
        """What KSM keeps of pages: rmap_items, stable nodes and the heads of chains."""
        of_items = rmap_items * self.rmap_item_size_bytes
        return of_items + (shared + chains) * self.stable_node_size_bytes


_READINGS = (
    EventKind.SAMPLE,
    EventKind.SNAPSHOT,
    EventKind.TUNABLE,
    EventKind.PROCESS_TEXT,
    EventKind.PROCESS_SAMPLE,
)
"""Kinds whose events are, or can be, readings."""

_FOLLOWED = (
    EventKind.CMP_AND_MERGE_PAGE,
    EventKind.STABLE_APPEND,
    EventKind.REMOVE_RMAP_ITEM,
    EventKind.REMOVE_STABLE_NODE,
)
"""Kinds by which a merged page is followed from one look of ksmd's to the next."""


@dataclass(frozen=True, slots=True)
class Session:
    """Facts of one run that do not change while it lasts.

    Attributes:
        source: "live", "capture" or "engine".
        kernel: the kernel that the events come from.
        tier: the set of probes in a word: "full", "partial", "tracepoint", "totals" or "sysfs".
        probes: how each kind of event is seen.
        tunables: /sys/kernel/mm/ksm's writable files when the run began, name to text.
        monotonic_ns: CLOCK_MONOTONIC when the run began; event times count from the same zero.
        realtime_ns: CLOCK_REALTIME at that instant.
        capture_id: names the recording that this session writes or replays.
        only_pids: processes to which the events are limited; empty for all.
        host: `uname -n` of the traced machine; "" where not known.
    """

    source: str
    kernel: Kernel
    tier: str
    probes: Mapping[EventKind, Probe]
    tunables: Mapping[str, str] = field(default_factory=dict)
    monotonic_ns: int = 0
    realtime_ns: int = 0
    capture_id: str = ""
    only_pids: tuple[int, ...] = ()
    host: str = ""

    @property
    def live(self) -> bool:
        """Whether the events come from a running kernel, as they happen."""
        return self.source == "live"

    def sees(self, kind: EventKind) -> bool:
        """Whether every event of this kind appears in this run.

        A total that is only sampled makes none, nor do those that are counted and not sent; a probe
        that is attached by windows makes some of them.
        """
        probe = self.probes.get(kind)
        if probe is None or probe.exactness is Exactness.ABSENT or probe.counted:
            return False
        return probe.exactness is not Exactness.SAMPLED or kind in _READINGS

    def counts(self, kind: EventKind | Knowledge) -> bool:
        """Whether this run knows how many events of this kind there were, from its own probes."""
        if isinstance(kind, Knowledge):
            return False
        probe = self.probes.get(kind)
        return self.sees(kind) or (probe is not None and probe.counted)

    def without(self, kinds: Mapping[EventKind, str]) -> Session:
        """The same where events of `kinds` do not come; the values say why."""
        gone = {
            kind: Probe(self.probes[kind].via, Exactness.ABSENT, why) for kind, why in kinds.items()
        }
        return replace(self, probes={**self.probes, **gone}) if gone else self

    def without_stream(self, *, counted: bool) -> Session:
        """The same once the stream of events has ended.

        Args:
            counted: whether rare events of all processes are counted from then on.
        """
        rare = RARE if counted and not self.only_pids else ()
        gone = {
            kind: replace(probe, counted=True)
            if kind in rare
            else Probe("", Exactness.ABSENT, "the stream of events has ended")
            for kind, probe in self.probes.items()
            if probe.exactness not in (Exactness.ABSENT, Exactness.SAMPLED)
        }
        return replace(self, probes={**self.probes, **gone})

    @property
    def counters(self) -> dict[str, str]:
        """The kernel's counter of each kind of event of which only that is known, by name."""
        return {kind.name.lower(): p.counter for kind, p in self.probes.items() if p.counter}

    @property
    def sees_who_broke(self) -> bool:
        """Whether a COW_FAULT tells if the process wrote or the kernel broke the sharing."""
        probe = self.probes.get(EventKind.COW_FAULT)
        seen = probe is not None and Knowledge.WHO_BROKE not in probe.lacks
        return seen and self.sees(EventKind.COW_FAULT)

    @property
    def derives_writes(self) -> bool:
        """Whether who wrote to a KSM page is derived from what leaves the stable tree.

        So it is where COW_FAULTs are not all seen, and what ksmd does with each page is.
        """
        return not self.sees(EventKind.COW_FAULT) and all(map(self.sees, _FOLLOWED))

    @property
    def faults_by_windows(self) -> bool:
        """Whether some COW_FAULTs are seen: those in windows."""
        probe = self.probes.get(EventKind.COW_FAULT)
        return probe is not None and probe.by_windows

    def knows(self, need: EventKind | Knowledge) -> bool:
        """Whether this run sees every event of a kind, or knows what is named."""
        match need:
            case Knowledge.WHO_BROKE:
                return self.sees_who_broke
            case Knowledge.WRITES:
                return self.sees(EventKind.COW_FAULT) or self.derives_writes
            case Knowledge.FAULT_TIMES:
                return self.timed and (self.sees(EventKind.COW_FAULT) or self.faults_by_windows)
            case Knowledge.TIMES:
                return self.timed
            case EventKind():
                return self.sees(need)
            case Knowledge.ONE_TREE if self.tunables.get("merge_across_nodes") == "0":
                return False
        return all(need not in probe.lacks for probe in self.probes.values())

    def why_not(self, need: EventKind | Knowledge) -> str:
        """Why this run does not know it, in a few words; "" where it does."""
        if self.knows(need):
            return ""
        if isinstance(need, Knowledge):
            return _UNKNOWN[need]
        probe = self.probes.get(need)
        if probe is None or probe.exactness is Exactness.ABSENT:
            return f"{need.name.lower()} is not seen"
        return f"{need.name.lower()} is not seen one by one"

    @property
    def timed(self) -> bool:
        """Whether event times are times: the engine's only show the order."""
        return self.kernel.machine != ENGINE

    def to_json(self) -> dict[str, Any]:
        """The session as JSON values, all except `source`; `from_json` is its inverse."""
        facts = asdict(self)
        facts["probes"] = {kind.name: probe.to_json() for kind, probe in self.probes.items()}
        facts["tunables"] = dict(self.tunables)
        del facts["source"]
        return facts

    @classmethod
    def from_json(cls, facts: Mapping[str, Any], source: str) -> Session:
        """Rebuild a session from `to_json`'s values.

        Facts that this version does not know are passed over: a newer one may have written them.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: a fact is missing or of the wrong type.
        """
        known = {
            name: facts["kernel"][name] for name in Kernel.__slots__ if name in facts["kernel"]
        }
        probes = {
            EventKind[name]: Probe.from_json(probe)
            for name, probe in facts["probes"].items()
            if name in EventKind.__members__
        }
        return cls(
            source=source,
            kernel=Kernel(**known),
            tier=str(facts["tier"]),
            probes=probes,
            tunables=dict(facts["tunables"]),
            monotonic_ns=int(facts["monotonic_ns"]),
            realtime_ns=int(facts["realtime_ns"]),
            capture_id=str(facts["capture_id"]),
            only_pids=tuple(int(pid) for pid in facts.get("only_pids", ())),
            host=str(facts.get("host", "")),
        )
