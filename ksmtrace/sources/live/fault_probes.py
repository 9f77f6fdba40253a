"""The probes on COW faults: always attached, by windows, or not at all (`--cow`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ksmtrace.errors import KsmtraceError
from ksmtrace.events.kinds import EventKind
from ksmtrace.kernel.capabilities import without
from ksmtrace.kernel.host import Bcc
from ksmtrace.session import Exactness
from ksmtrace.sources.live.capabilities import Placement
from ksmtrace.sources.live.plan import Plan
from ksmtrace.sources.live.probe_spec import Hook, Place, ProbeTable
from ksmtrace.sources.live.program import Program, close_all

DEFAULT_SHARE = 0.02

LEAST_SHARE = 0.002
"""A window takes some tens of milliseconds of attaching and detaching alone."""

_NEEDED_TO_ATTACH = ("CAP_PERFMON",), ("CAP_PERFMON", "CAP_BPF")
_EVERYTHING = frozenset({"CAP_PERFMON", "CAP_BPF", "CAP_SYS_ADMIN"})


def parse_share(text: str) -> float:
    """What `--cow` asks for: 1.0 for "all", 0.0 for "none", else a share of the time.

    Raises:
        KsmtraceError: it is neither, or no share that windows can have.
    """
    named = {"all": 1.0, "none": 0.0}
    if text in named:
        return named[text]
    share = float(text) if re.fullmatch(r"0?\.\d+", text) else 0.0
    if not LEAST_SHARE <= share <= 0.5:
        raise KsmtraceError(
            f"--cow {text}: all, none, or a share of the time from {LEAST_SHARE} to 0.5"
        )
    return share


def without_faults(table: ProbeTable) -> ProbeTable:
    """The table with nothing attached for COW_FAULTs: the kernel's total is left."""
    totals = tuple(spec for spec in table[EventKind.COW_FAULT] if spec.counter)
    return {**table, EventKind.COW_FAULT: totals}


def with_windows(plan: Plan, share: float) -> Plan:
    """The plan with the probes on COW faults attached for a share of the time, where it has any.

    Which functions they are, and what their events tell, stays as it is.
    """
    chosen = plan.chosen[EventKind.COW_FAULT]
    if chosen.spec is None or not chosen.spec.hooks:
        return plan
    note = f"attached for {share:.1%} of the time, at random"
    probe = replace(
        chosen.probe,
        exactness=Exactness.SAMPLED,
        share=share,
        note=f"{chosen.probe.note}; " * bool(chosen.probe.note) + note,
    )
    found = {**plan.chosen, EventKind.COW_FAULT: replace(chosen, probe=probe)}
    hooks = {hook: plan.placements[hook] for hook in chosen.spec.hooks}
    return replace(plan, chosen=found, by_windows=hooks)


class FaultProbes:
    """Probes of a program that are attached by windows: `windows.WindowedProbes`.

    At the edges of a window: a call is seen where its entry comes after the return's probe was
    attached, and its return before that is let go of. What the BPF maps hold of others is deleted
    with nothing attached, so no call takes another's time, and none stays.
    """

    def __init__(self, program: Program, hooks: Mapping[Hook, Placement]) -> None:
        self._program = program
        # A function's return before its entry; break_ksm, which calls do_wp_page, before it.
        by_function: dict[str, list[Hook]] = {}
        for hook in hooks:
            by_function.setdefault(hook.target, []).append(hook)
        self._order = [
            (hook, hooks[hook])
            for one in by_function.values()
            for hook in sorted(one, key=lambda hook: hook.place is Place.ENTRY)
        ]
        self._maps: list[Bcc] = [program.bpf[name] for name in (b"cow_faults", b"breaking")]
        self._entries: list[int] = []
        self._others: list[int] = []

    def attach(self) -> None:
        """Attach all.

        Raises:
            OSError: the kernel refuses; nothing is left attached.
        """
        try:
            for hook, placement in self._order[:-1]:
                self._others += self._program.attach_for_now(hook, placement)
            self._entries += self._program.attach_for_now(*self._order[-1])
        except BaseException:
            self.detach_entries()
            self.detach_returns()
            raise

    def detach_entries(self) -> None:
        """Let go of do_wp_page's entry."""
        close_all(self._entries)

    def detach_returns(self) -> None:
        """Let go of the rest, and forget the calls that have not returned."""
        close_all(self._entries)
        close_all(self._others)
        for held in self._maps:
            held.clear()

    def needed_to_attach(self) -> frozenset[str]:
        """The capabilities without which the next window cannot begin.

        Raises:
            OSError: capabilities cannot be set.
        """
        for needed in _NEEDED_TO_ATTACH:
            with without(*(_EVERYTHING - set(needed))):
                try:
                    self.attach()
                    self.detach_returns()
                except (OSError, KeyError):  # KeyError: bcc's word for a map it may not read
                    continue
            return frozenset(needed)
        return _EVERYTHING
