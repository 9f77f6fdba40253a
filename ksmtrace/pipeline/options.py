"""The options of a run: what was asked for, as every plugin is given it at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ksmtrace.model.verdict import CORE_WORTH_BYTES
from ksmtrace.pipeline.condition import Condition

if TYPE_CHECKING:
    from ksmtrace.session import Session

MOST_GROUPS = 20
"""How many cgroups have metrics of their own unless something else is asked for."""


@dataclass(frozen=True)
class RunOptions:
    """The options of one run; by default it shows nothing, serves nothing and writes nothing.

    Attributes:
        interval: seconds between two calls of `ksmtrace_publish`, more where each takes long.
        record: path of the capture to write; None for none.
        most_bytes: of its files together; None for any number.
        keep: how many of its last segments are kept; None for all.
        ends_when_full: whether the run is over once the capture is full.
        dump_when: what has to become true for the recording to be dumped; None for never.
        listen: ADDR:PORT, or PORT alone, at which to serve metrics; None to serve none.
        web_config: path of the web configuration file for `listen`, None without one.
        textfile: directory for node_exporter's text file; None to write none.
        groups: how many cgroups have metrics of their own.
        json: the answer is JSON on stdout in place of text.
        once: there is one answer, when the run ends.
        tui: there is a screen while the run lasts.
        hold: the screen stays at the end until it is left by a key.
        core_worth_bytes: memory that a core counts as.
        log: lines on stderr say what happens, in place of the text at the end.
    """

    interval: float = 1.0
    record: str | None = None
    most_bytes: int | None = None
    keep: int | None = None
    ends_when_full: bool = False
    dump_when: Condition | None = None
    listen: str | None = None
    web_config: str | None = None
    textfile: str | None = None
    groups: int = MOST_GROUPS
    json: bool = False
    once: bool = False
    tui: bool = False
    hold: bool = False
    log: bool = False
    core_worth_bytes: int = CORE_WORTH_BYTES

    def streams_json(self, session: Session) -> bool:
        """Whether a JSON document is printed each interval: in a live run, unless it is `once`."""
        return self.json and not self.once and session.live
