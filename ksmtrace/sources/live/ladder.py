"""Chooses the best tier of probes that this kernel offers, and says why the better ones are out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ksmtrace.errors import HostError, KsmtraceError
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.symbols import read_symbols
from ksmtrace.kernel.sysfs import ROOT
from ksmtrace.sources.live.tiers import TIERS, Attach, Offset, Tier

CHOICES = {
    "auto": ("full-inlined", *(tier.name for tier in TIERS)),
    "kprobe": ("full-inlined", *(t.name for t in TIERS if t.name.startswith("full"))),
    "tracepoint": ("tracepoint",),
}
"""What `--probes` may ask for: names of tiers, best first."""


@dataclass(frozen=True, slots=True)
class Survey:
    """One tier held against one kernel.

    Attributes:
        missing: what the kernel lacks, one phrase each; empty when the tier works.
        defines: -D numbers for the BPF text, known when nothing is missing.
    """

    tier: Tier
    missing: tuple[str, ...]
    defines: dict[str, int | str]


def survey_tiers(btf: Btf, root: Path = ROOT, tiers: tuple[Tier, ...] = TIERS) -> list[Survey]:
    """Every tier against this kernel, best first; reads kallsyms and BTF and attaches nothing."""
    wanted = {name for tier in tiers for name in tier.symbols}
    wanted |= {
        a.target for tier in tiers for a in tier.attaches if a.how in ("kprobe", "kretprobe")
    }
    symbols = read_symbols(wanted, root)
    return [_survey(tier, btf, symbols, root) for tier in tiers]


def choose_tier(surveys: list[Survey], choice: str = "auto") -> Survey:
    """The first tier that works among those that `choice` admits.

    Raises:
        KsmtraceError: `choice` is not one of `CHOICES`.
        HostError: none of them works here.
    """
    if choice not in CHOICES:
        raise KsmtraceError(f"--probes {choice}: not built yet; choose from {', '.join(CHOICES)}")
    reasons = []
    for survey in surveys:
        if survey.tier.name not in CHOICES[choice]:
            continue
        if not survey.missing:
            return survey
        reasons.append(f"{survey.tier.name}: {'; '.join(survey.missing)}")
    raise HostError(f"no probes fit this kernel ({' | '.join(reasons)}); see `ksmtrace doctor`")


def _survey(tier: Tier, btf: Btf, symbols: dict[str, int], root: Path) -> Survey:
    missing = [reason for a in tier.attaches if (reason := _why_not(a, btf, symbols, root))]
    defines: dict[str, int | str] = {}
    hidden = [name for name in tier.symbols if name not in symbols]
    if hidden:
        missing.append(f"not in /proc/kallsyms: {', '.join(hidden)} (needs CONFIG_KALLSYMS_ALL)")
    elif any(symbols[name] == 0 for name in tier.symbols):
        missing.append("addresses in /proc/kallsyms are hidden (kptr_restrict, or not root)")
    defines |= {f"SYM_{name.upper()}": symbols.get(name, 0) for name in tier.symbols}
    for offset in tier.offsets:
        try:
            defines[offset.macro] = _resolve(offset, btf)
        except HostError as error:
            missing.append(str(error))
    missing += [
        f"would be wrong on a kernel with {name}"
        for name in tier.not_with
        if btf.has_member(*name.split(".", 1))
    ]
    defines["STRUCT_PAGE_SIZE"] = btf.size("page")
    defines |= tier.defines
    return Survey(tier, tuple(dict.fromkeys(missing)), {} if missing else defines)


def _why_not(attach: Attach, btf: Btf, symbols: dict[str, int], root: Path) -> str:
    if attach.how in ("kprobe", "kretprobe"):
        if not (root / "sys/bus/event_source/devices/kprobe").exists():
            return "no kprobes: kernel built without CONFIG_KPROBES"
        if attach.target not in symbols:
            return f"{attach.target} is not in /proc/kallsyms (inlined, or named otherwise)"
    if attach.how == "raw_tracepoint" and not btf.has_typedef(f"btf_trace_{attach.target}"):
        return f"no tracepoint {attach.target}"
    return ""


def _resolve(offset: Offset, btf: Btf) -> int:
    for struct, member in offset.members:
        if btf.has_member(struct, member):
            return btf.offset(struct, member)
    names = " or ".join(f"{struct}.{member}" for struct, member in offset.members)
    raise HostError(f"BTF has no {names}")
