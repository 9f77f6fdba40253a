"""Examines this host: what `live` would attach, how exact that is, and why the better ways are out."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ksmtrace import __version__
from ksmtrace.errors import HostError
from ksmtrace.kernel.btf import VMLINUX, Btf
from ksmtrace.kernel.host import find_ksmd, import_bcc, read_kernel
from ksmtrace.kernel.sysfs import ROOT, has_ksm, read_tunables
from ksmtrace.session import Exactness, Kernel
from ksmtrace.sources.live.ladder import Survey, survey_tiers

_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that tracing needs. `detail` says what was found, or the remedy."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was found.

    Attributes:
        surveys: tiers of probes against this kernel, best first; empty when BTF or root is missing.
    """

    kernel: Kernel
    checks: tuple[Check, ...]
    surveys: tuple[Survey, ...]

    @property
    def chosen(self) -> Survey | None:
        """The tier that `live` would use."""
        return next((survey for survey in self.surveys if not survey.missing), None)

    @property
    def able(self) -> bool:
        """Whether `live` would run."""
        return all(check.passed for check in self.checks) and self.chosen is not None

    def to_json(self) -> dict[str, Any]:
        """The report as the JSON document of `doctor --json`."""
        chosen = self.chosen
        return {
            "version": __version__,
            "kernel": asdict(self.kernel),
            "able": self.able,
            "checks": [asdict(check) for check in self.checks],
            "tier": chosen.tier.name if chosen else None,
            "tiers": [
                {"name": s.tier.name, "works": not s.missing, "missing": list(s.missing)}
                for s in self.surveys
            ],
            "probes": {
                kind.name.lower(): {
                    "via": probe.via,
                    "exactness": probe.exactness.value,
                    "note": probe.note,
                }
                for kind, probe in (chosen.tier.probes if chosen else {}).items()
            },
        }

    def to_text(self) -> str:
        """The report for people, 80 columns wide."""
        lines = [f"kernel {self.kernel.release} {self.kernel.machine}"]
        lines += [
            _wrapped(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}")
            for check in self.checks
        ]
        for survey in self.surveys:
            if survey.missing:
                lines += ["", f"tier {survey.tier.name}: not here"]
                lines += [_wrapped(f"  - {reason}") for reason in survey.missing]
        if self.chosen is not None:
            lines += ["", f"tier {self.chosen.tier.name}: what you will see"]
            for kind, probe in self.chosen.tier.probes.items():
                seen = f"  {kind.name.lower():22} {probe.exactness.value:8} {probe.via}"
                lines.append(textwrap.fill(seen.rstrip(), _WIDTH, subsequent_indent=" " * 34))
                if probe.note and probe.exactness is not Exactness.EXACT:
                    lines.append(_wrapped(" " * 25 + probe.note))
        lines += ["", "ready to trace" if self.able else "cannot trace here"]
        return "\n".join(lines)


def examine(root: Path = ROOT) -> Report:
    """Look at this host; nothing is attached or changed."""
    checks = [
        _check("KSM", lambda: _ksm(root)),
        _check("privileges", _privileges),
        _check("bcc", _bcc),
        _check("BTF", _btf),
    ]
    surveys: list[Survey] = []
    if checks[-1].passed:
        btf = Btf()
        try:
            surveys = survey_tiers(btf, root)
        finally:
            btf.close()
    return Report(read_kernel(root), tuple(checks), tuple(surveys))


def _check(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, passed=True, detail=look())
    except HostError as error:
        return Check(name, passed=False, detail=str(error))


def _ksm(root: Path) -> str:
    if not has_ksm(root):
        raise HostError("/sys/kernel/mm/ksm is missing: the kernel needs CONFIG_KSM=y")
    ksmd = find_ksmd(root)
    if ksmd is None:
        raise HostError("the kernel thread ksmd is not running")
    state = read_tunables(root).get("run", "?")
    if state == "1":
        return f"on, ksmd is pid {ksmd}"
    return f"switched off (run is {state}): echo 1 > /sys/kernel/mm/ksm/run"


def _privileges() -> str:
    if os.geteuid() != 0:
        raise HostError("not root: run it with sudo")
    return "root"


def _bcc() -> str:
    bcc = import_bcc()
    return f"{getattr(bcc, '__version__', 'of unknown version')} from {Path(bcc.__file__).parent}"


def _btf() -> str:
    Btf().close()
    return str(VMLINUX)


def _wrapped(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip(" -")) + (5 if line[:4] in ("ok  ", "FAIL") else 0))
    return textwrap.fill(line, _WIDTH, subsequent_indent=indent, break_long_words=False)
