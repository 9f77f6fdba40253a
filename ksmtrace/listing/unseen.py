"""What the lines of a stream do not show though it may have happened, or show by inference."""

from __future__ import annotations

from collections.abc import Iterator

from ksmtrace.drawing.lines import one_line
from ksmtrace.events.kinds import EventKind
from ksmtrace.listing.choice import Choice
from ksmtrace.listing.words import FUNCTIONS
from ksmtrace.session import Exactness, Knowledge, Session
from ksmtrace.units import share

_NOTED = frozenset(
    {EventKind.LOST, EventKind.TOTAL, EventKind.PROBE_TIME, EventKind.STREAM_END, EventKind.PROCESS}
)
"""Kinds that ksmtrace notes by itself: no probe sees them."""

_OF_ENGINE = "engine:"


def unseen_lines(session: Session, choice: Choice) -> Iterator[str]:
    """A line for each chosen kind of which this run does not show every event, or derives them.

    Also for those whose function has another name in what is traced, which is no version of KSM.
    """
    for kind in sorted(choice.wanted_kinds() - _NOTED):
        probe = session.probes.get(kind)
        if probe is None:
            how = "not seen: no probe"
        elif session.sees(kind):
            named = probe.via.removeprefix(_OF_ENGINE)
            if probe.exactness is Exactness.DERIVED and probe.note:
                how = f"derived: {probe.note}"
            elif not session.knows(Knowledge.KSM_FILES) and named != FUNCTIONS[kind]:
                how = f"here {named}"
            else:
                continue
        elif probe.by_windows:
            how = f"seen {share(probe.share)} of the time, in windows"
        elif probe.counted:
            how = "counted, not shown one by one: see --kind total"
        elif probe.counter:
            how = f"not seen one by one: its counter is {probe.counter}"
        else:
            how = f"not seen: {probe.note or 'no probe'}"
        yield f"# {FUNCTIONS[kind]}: {one_line(how)}"
