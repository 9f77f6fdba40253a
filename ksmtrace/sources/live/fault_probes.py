"""The probes on COW faults: always attached, by windows, or not at all (`--cow`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from ksmtrace.errors import KsmtraceError
from ksmtrace.events.kinds import EventKind
from ksmtrace.kernel.capabilities import without
from ksmtrace.kernel.host import Bcc
from ksmtrace.session import Exactness
from ksmtrace.sources.live.capabilities import Capabilities, Placement
from ksmtrace.sources.live.plan import Plan, probe_of
from ksmtrace.sources.live.probe_spec import Hook, Place, ProbeTable
from ksmtrace.sources.live.program import Program, close_all

DEFAULT_SHARE = 0.02

LEAST_SHARE = 0.002
"""A window takes some tens of milliseconds of attaching and detaching alone."""

_DO_WP_PAGE = "do_wp_page"

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


def with_windows(plan: Plan, kernel: Capabilities, share: float, first: str = "") -> Plan:
    """The plan with the probes on COW faults attached for a share of the time, where it has any.

    Args:
        plan: as it is without windows.
        kernel: that it was made for.
        share: of the time.
        first: the mechanism to be preferred for them; "" for the plan's own.
    """
    chosen = plan.chosen[EventKind.COW_FAULT]
    if chosen.spec is None or not chosen.spec.hooks:
        return plan
    hooks = {hook: plan.placements[hook] for hook in chosen.spec.hooks}
    if first:
        found = {hook: kernel.place(hook, (first,)) for hook in hooks}
        placed = {hook: one for hook, one in found.items() if isinstance(one, Placement)}
        hooks = placed if len(placed) == len(hooks) else hooks
    whole = probe_of(chosen.spec, hooks)
    note = f"attached for {share:.1%} of the time, at random"
    note = f"{whole.note}; {note}" if whole.note else note
    probe = replace(whole, exactness=Exactness.SAMPLED, share=share, note=note)
    return replace(
        plan,
        chosen={**plan.chosen, EventKind.COW_FAULT: replace(chosen, probe=probe)},
        placements=plan.placements | hooks,
        by_windows=hooks,
    )


class FaultProbes:
    """Probes of a program that are attached by windows: `windows.WindowedProbes`.

    At the edges of a window: a call is seen where its entry comes after the return's probe was
    attached, and its return before that is let go of. What the BPF maps hold of others is deleted
    with nothing attached, so no call takes another's time, and none stays.
    """

    def __init__(self, program: Program, hooks: Mapping[Hook, Placement]) -> None:
        self._program = program
        self._hooks = hooks
        self._maps: list[Bcc] = [program.bpf[name] for name in (b"cow_faults", b"breaking")]
        self._callers: list[int] = []
        self._returns: list[int] = []
        self._entries: list[int] = []

    def prepare(self) -> None:
        """Attach the functions that call do_wp_page.

        Raises:
            OSError: the kernel refuses.
        """
        self._attach(self._callers, lambda hook: hook.target != _DO_WP_PAGE)

    def attach(self) -> None:
        """Attach do_wp_page, its return before its entry.

        Raises:
            OSError: the kernel refuses.
        """
        on_fault = [hook for hook in self._hooks if hook.target == _DO_WP_PAGE]
        self._attach(self._returns, lambda hook: hook in on_fault and hook.place is Place.RETURN)
        self._attach(self._entries, lambda hook: hook in on_fault and hook.place is Place.ENTRY)

    def _attach(self, held: list[int], wanted: Callable[[Hook], bool]) -> None:
        for hook, placement in self._hooks.items():
            if wanted(hook):
                held += self._program.attach_for_now(hook, placement)

    def detach_entries(self) -> None:
        """Let go of do_wp_page's entry."""
        close_all(self._entries)

    def detach_returns(self) -> None:
        """Let go of its return."""
        close_all(self._returns)

    def release(self) -> None:
        """Let go of all, and forget the calls that have not returned."""
        for held in (self._entries, self._returns, self._callers):
            close_all(held)
        for calls in self._maps:
            calls.clear()

    def try_once(self) -> None:
        """Attach and let go of all.

        Raises:
            OSError: the kernel refuses.
        """
        try:
            self.prepare()
            self.attach()
        finally:
            self.release()

    def needed_to_attach(self) -> frozenset[str]:
        """The capabilities without which the next window cannot begin.

        Raises:
            OSError: capabilities cannot be set.
        """
        for needed in _NEEDED_TO_ATTACH:
            with without(*(_EVERYTHING - set(needed))):
                try:
                    self.try_once()
                except OSError:
                    continue
            return frozenset(needed)
        return _EVERYTHING
