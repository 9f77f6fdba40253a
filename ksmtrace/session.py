"""The frozen facts of one run: where events come from, which kernel, which probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from ksmtrace.events.kinds import EventKind


class Exactness(StrEnum):
    """How far a number can be trusted.

    exact: counted at a probe that sees every occurrence. derived: computed from neighbouring probes
    or from kernel structures. sampled: read now and then from sysfs or procfs. absent: not seen here.
    """

    EXACT = "exact"
    DERIVED = "derived"
    SAMPLED = "sampled"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Probe:
    """The way in which one kind of event is seen in this run.

    Attributes:
        via: the attach points, or "" when absent.
        exactness: what the counts are worth.
        note: what this way cannot know, or why a better one is out.
    """

    via: str
    exactness: Exactness
    note: str = ""


@dataclass(frozen=True, slots=True)
class Kernel:
    """The traced kernel: `uname -r`, the build id of /sys/kernel/notes, and what its pages measure."""

    release: str
    build_id: str
    machine: str
    page_size_bytes: int
    rmap_item_size_bytes: int = 64


_READINGS = (
    EventKind.SAMPLE,
    EventKind.SNAPSHOT,
    EventKind.TUNABLE,
    EventKind.PROCESS_TEXT,
    EventKind.PROCESS_SAMPLE,
)
"""Kinds whose events are, or can be, readings."""


@dataclass(frozen=True, slots=True)
class Session:
    """Facts of one run that do not change while it lasts.

    Attributes:
        source: "live", "capture" or "engine".
        kernel: the kernel that the events come from.
        tier: the set of probes in a word: "full", "partial", "tracepoint" or "sysfs".
        probes: how each kind of event is seen.
        tunables: /sys/kernel/mm/ksm's writable files when the run began, name to text.
        monotonic_ns: CLOCK_MONOTONIC when the run began; event times count from the same zero.
        realtime_ns: CLOCK_REALTIME at that instant.
        capture_id: names the recording that this session writes or replays.
        only_pids: processes to which the events are limited; empty for all.
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

    def sees(self, kind: EventKind) -> bool:
        """Whether events of this kind can appear in this run: a total that is only sampled makes none."""
        probe = self.probes.get(kind)
        if probe is None or probe.exactness is Exactness.ABSENT:
            return False
        return probe.exactness is not Exactness.SAMPLED or kind in _READINGS

    def to_json(self) -> dict[str, Any]:
        """The session as JSON values; `from_json` is its inverse but for `source`."""
        facts = asdict(self)
        facts["probes"] = {
            kind.name: {"via": p.via, "exactness": p.exactness.value, "note": p.note}
            for kind, p in self.probes.items()
        }
        facts["tunables"] = dict(self.tunables)
        del facts["source"]
        return facts

    @classmethod
    def from_json(cls, facts: Mapping[str, Any], source: str) -> Session:
        """Rebuild a session from `to_json`'s values.

        Facts that this version does not know are passed over: a newer ksmtrace may have written them.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: a fact is missing or of the wrong type.
        """
        known = {
            name: facts["kernel"][name] for name in Kernel.__slots__ if name in facts["kernel"]
        }
        probes = {
            EventKind[name]: Probe(p["via"], Exactness(p["exactness"]), p["note"])
            for name, p in facts["probes"].items()
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
        )
