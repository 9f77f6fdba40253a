"""The report of `ksmtrace doctor`, and its JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ksmtrace import SCHEMA_VERSION, __version__
from ksmtrace.doctor.checks import KSM, Check
from ksmtrace.doctor.improvements import Improvement
from ksmtrace.doctor.survey import Event, Survey
from ksmtrace.kernel.bpf import Outage
from ksmtrace.kernel.distribution import Distribution
from ksmtrace.kernel.features import Feature
from ksmtrace.kernel.needs import PURPOSES, WAYS
from ksmtrace.session import Kernel, Probe


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        lockdown: "none", "integrity" or "confidentiality"; "" where the kernel does not tell.
        missing_capabilities: of those without which BPF may be refused.
        lacking: by way of tracing (`needs.WAYS`), what it needs and this process has not.
        kptr_restrict: /proc/sys/kernel/kptr_restrict; "" where it cannot be read.
        features: each, and whether this kernel has it; None where nothing shows it.
    """

    kernel: Kernel
    distribution: Distribution
    checks: tuple[Check, ...]
    survey: Survey
    lockdown: str
    missing_capabilities: tuple[str, ...]
    lacking: Mapping[str, list[str]]
    kptr_restrict: str
    features: tuple[tuple[Feature, bool | None], ...]
    improvements: tuple[Improvement, ...]

    @property
    def able(self) -> bool:
        """Whether `live` would run."""
        return all(check.passed for check in self.checks) and self.survey.tier is not None

    @property
    def able_sysfs(self) -> bool:
        """Whether `live --probes sysfs` would."""
        return all(check.passed for check in self.checks if check.name == KSM)

    def to_json(self) -> dict[str, Any]:
        """The report as the JSON document of `doctor --json`; docs/REFERENCE.md has its keys."""
        survey = self.survey
        return {
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "kernel": asdict(self.kernel),
            "distribution": self.distribution.name,
            "able": self.able,
            "able_sysfs": self.able_sysfs,
            "checks": [asdict(check) for check in self.checks],
            "tier": survey.tier,
            "probes": {_name(event): _probe(event.probe) for event in survey.events},
            "events": {_name(event): _event(event) for event in survey.events},
            "mechanisms": _mechanisms(survey.mechanisms),
            "lockdown": self.lockdown,
            "missing_capabilities": list(self.missing_capabilities),
            "capabilities": {way: self._capabilities(way) for way in WAYS},
            "capability_purposes": dict(PURPOSES),
            "kptr_restrict": self.kptr_restrict,
            "features": [_feature(feature, present) for feature, present in self.features],
            "improvements": [_improvement(improvement) for improvement in self.improvements],
        }

    def _capabilities(self, way: str) -> dict[str, Any]:
        return {**asdict(WAYS[way]), "lacking": self.lacking[way]}


def _name(event: Event) -> str:
    return event.kind.name.lower()


def _probe(probe: Probe) -> dict[str, str]:
    return {"via": probe.via, "exactness": probe.exactness.value, "note": probe.note}


def _event(event: Event) -> dict[str, Any]:
    rejected = [
        {
            "way": r.way,
            "exactness": r.exactness.value,
            "reasons": [reason.text for reason in r.reasons],
        }
        for r in event.rejected
    ]
    return {"way": event.way or None, **_probe(event.probe), "rejected": rejected}


def _mechanisms(mechanisms: Mapping[str, Outage | None]) -> dict[str, dict[str, Any]]:
    return {
        name: {"works": out is None, "reason": "" if out is None else out.sentence}
        for name, out in mechanisms.items()
    }


def _feature(feature: Feature, present: bool | None) -> dict[str, Any]:
    return {
        "name": feature.name,
        "present": present,
        "introduced": feature.introduced,
        "commit": feature.commit,
        "gives": feature.gives,
        "found_by": feature.found_by,
    }


def _improvement(improvement: Improvement) -> dict[str, Any]:
    return {
        "what": improvement.what,
        "gains": {kind.name.lower(): how.value for kind, how in improvement.gains.items()},
        "commands": list(improvement.commands),
    }
