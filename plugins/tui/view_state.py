"""The state of the screen that keys change: view, sorting, filter, pause. Nothing here draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OVERVIEW = ""
MOST_NEEDLE = 40
_SORTS = 9


@dataclass(slots=True)
class ViewState:
    """The state that keys change.

    Attributes:
        view: name of the view, `OVERVIEW` for the overview.
        sort: number of the column by which tables are sorted, or None.
        needle: text of the filter, "" for none.
        prompt: the filter as it is being typed, None while it is not.
        paused: the picture does not change.
        help: the keys are shown instead of the view.
        scroll: lines of the view above the screen.
        ended: q was pressed.
    """

    view: str = OVERVIEW
    sort: int | None = None
    needle: str = ""
    prompt: str | None = None
    paused: bool = False
    help: bool = False
    scroll: int = 0
    ended: bool = False

    def press(self, key: str, views: Mapping[str, str], page: int) -> None:
        """Do what `key` asks for.

        Args:
            key: a character, or a name that `keys` gives.
            views: key by name of each view.
            page: lines of a screenful.
        """
        if self.prompt is not None:
            self._type(key)
        elif self.help:
            self.help = False
            self.ended = key == "q"
        elif key in ("tab", "right", "backtab", "left"):
            self._turn(views, -1 if key in ("backtab", "left") else 1)
        elif key in ("up", "down", "pageup", "pagedown", "home", "end"):
            self._scroll(key, page)
        elif key in views.values():
            self._go(next(name for name, other in views.items() if other == key))
        else:
            self._command(key)

    def _command(self, key: str) -> None:
        match key:
            case "q":
                self.ended = True
            case "p":
                self.paused = not self.paused
            case "?" | "h":
                self.help = True
            case "s":
                self.sort = 0 if self.sort is None else self.sort + 1
                if self.sort == _SORTS:
                    self.sort = None
            case "/":
                self.prompt = self.needle
            case "0" | "escape":
                self._go(OVERVIEW)

    def _type(self, key: str) -> None:
        typed = self.prompt or ""
        if key == "enter":
            self.needle, self.prompt, self.scroll = typed, None, 0
        elif key == "escape":
            self.prompt = None
        elif key == "backspace":
            self.prompt = typed[:-1]
        elif len(key) == 1 and key.isprintable() and len(typed) < MOST_NEEDLE:
            self.prompt = typed + key

    def _turn(self, views: Mapping[str, str], step: int) -> None:
        names = [OVERVIEW, *views]
        at = names.index(self.view) if self.view in names else 0
        self._go(names[(at + step) % len(names)])

    def _go(self, view: str) -> None:
        self.view, self.scroll = view, 0

    def _scroll(self, key: str, page: int) -> None:
        steps = {"up": -1, "down": 1, "pageup": -page, "pagedown": page}
        if key in steps:
            self.scroll = max(0, self.scroll + steps[key])
        else:
            self.scroll = 0 if key == "home" else 1 << 20
