"""What the screen shows, as it was at one moment: finished values that another thread may draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ksmtrace.lines import one_line
from ksmtrace.model.processes import label_of
from ksmtrace.section import Section

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ksmtrace.pipeline.snapshot import Snapshot

PROBES = "probes"
"""The view that shows how each event is seen; no analyzer's name."""

_KEYS = "123456789abcdefgilmnrtuvwxyz"


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A run at one moment.

    Attributes:
        document: the run's JSON document.
        panels: (plugin name, renderable).
        sections: (plugin name, section).
        counters: the kernel's counter of each kind of event of which only that is known.
        page_size_bytes: of a small page.
        final: the run is over.
    """

    document: Mapping[str, Any]
    panels: tuple[tuple[str, RenderableType], ...]
    sections: tuple[tuple[str, Section], ...]
    counters: Mapping[str, str]
    page_size_bytes: int
    final: bool = False

    @classmethod
    def of(cls, snapshot: Snapshot) -> Picture:
        """Take the picture; calls the plugins' hooks, so only the run's own thread may."""
        return cls(
            snapshot.document,
            snapshot.panels,
            snapshot.sections,
            snapshot.session.counters,
            snapshot.session.kernel.page_size_bytes,
            snapshot.final,
        )

    def views(self) -> dict[str, str]:
        """Key by name of each view: every plugin with sections or panels, then the probes."""
        names = list(dict.fromkeys([*(n for n, _ in self.sections), *(n for n, _ in self.panels)]))
        return dict(zip([*names[: len(_KEYS) - 1], PROBES], _KEYS, strict=False))

    def processes(self, needle: str = "") -> list[tuple[str, Mapping[str, Any]]]:
        """Name and figures of the processes that save most, by the balance sheet.

        Only those with `needle` in their name, of which it is known what they save.
        """
        listed = self.document["analyzers"].get("balance", {}).get("processes") or ()
        named = ((one_line(label_of({**one, "vm": None})), one) for one in listed)
        named = ((name, one) for name, one in named if one["saved_bytes"] is not None)
        return [(name, one) for name, one in named if needle.casefold() in name.casefold()]

    def sections_of(self, name: str) -> list[Section]:
        """The sections of one plugin."""
        return [section for plugin, section in self.sections if plugin == name]

    def panels_of(self, name: str) -> list[RenderableType]:
        """The panels of one plugin."""
        return [panel for plugin, panel in self.panels if plugin == name]
