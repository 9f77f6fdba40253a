"""The state of the screen that keys change: view, sorting, filter, pass. Nothing here draws."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OVERVIEW, PROCESS = "", "process"
MOST_NEEDLE, MOST_DIGITS = 40, 9
_SORTS = 9
_WHEEL_LINES = 3


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen now.

    Attributes:
        views: key by name of each view.
        page: lines of a screenful.
        processes: names of those on the overview.
        passes: numbers of passes that can be looked back at, ascending.
    """

    views: Mapping[str, str]
    page: int
    processes: Sequence[str] = ()
    passes: Sequence[int] = ()


@dataclass(slots=True)
class ViewState:
    """The state that keys change.

    Attributes:
        view: name of the view, `OVERVIEW` for the overview, `PROCESS` for that of `process`.
        process: name of the process that is looked at.
        chosen: name of the process that is chosen on the overview; where it is not there, the
            first one is.
        sort: number of the column by which tables are sorted, or None.
        backwards: tables are sorted the other way.
        needle: text of the filter, "" for none.
        prompt: what is being typed, None while nothing is.
        asks: what the prompt is for: "process" (the filter) or "pass".
        paused: the picture does not change.
        at: the pass that is looked back at; None for the latest picture.
        help: the keys are shown instead of the view.
        mouse: the screen has the mouse; else the terminal has it, to select text.
        scroll: lines of the view above the screen.
        suspending: Ctrl-Z was pressed.
        ended: q was pressed.
    """

    view: str = OVERVIEW
    process: str = ""
    chosen: str = ""
    sort: int | None = None
    backwards: bool = False
    needle: str = ""
    prompt: str | None = None
    asks: str = "process"
    paused: bool = False
    at: int | None = None
    help: bool = False
    mouse: bool = True
    scroll: int = 0
    suspending: bool = False
    ended: bool = False

    def press(self, key: str, choices: Choices) -> None:
        """Do what `key` asks for: a character, or a name that `keys` gives."""
        if key == "suspend":
            self.suspending = True
        elif self.prompt is not None:
            self._type(key, choices)
        elif self.help and key in _STEPS:
            self._scroll(key, choices)
        elif self.help:
            self.help, self.scroll = False, 0
            self.ended = key == "q"
        elif key in ("tab", "right", "backtab", "left"):
            self._turn(choices, -1 if key in ("backtab", "left") else 1)
        elif key in _STEPS:
            self._move(key, choices)
        elif key.startswith("process "):
            self._open(int(key.removeprefix("process ")), choices)
        elif key in choices.views.values():
            self._go(next(name for name, other in choices.views.items() if other == key))
        else:
            self._command(key, choices)

    def row(self, processes: Sequence[str]) -> int:
        """The number of the process that is chosen, whatever their order is by now."""
        return processes.index(self.chosen) if self.chosen in processes else 0

    def _command(self, key: str, choices: Choices) -> None:
        match key:
            case "q":
                self.ended = True
            case "?" | "h":
                self.help, self.scroll = True, 0
            case "/":
                self.prompt, self.asks = self.needle, "process"
            case "enter" if self.view == OVERVIEW:
                self._open(self.row(choices.processes), choices)
            case "0" | "escape":
                self._go(OVERVIEW)
            case "m":
                self.mouse = not self.mouse
            case "s" | "S":
                self._sort(backwards=key == "S")
            case _:
                self._time(key, choices.passes)

    def _sort(self, *, backwards: bool) -> None:
        if backwards:
            self.backwards = not self.backwards
        else:
            self.sort = 0 if self.sort is None else self.sort + 1
            if self.sort == _SORTS:
                self.sort = None

    def _time(self, key: str, passes: Sequence[int]) -> None:
        match key:
            case "p":
                self.paused, self.at = not self.paused, None
            case "[" | "]":
                self._step(passes, forward=key == "]")
            case "g":
                self.prompt, self.asks = "", "pass"

    def _type(self, key: str, choices: Choices) -> None:
        typed = self.prompt or ""
        if key == "enter":
            self.prompt, self.scroll = None, 0
            if self.asks == "process":
                self.needle = typed
            elif typed and choices.passes:
                self._look_at(max(int(typed), choices.passes[0]))
        elif key == "escape":
            self.prompt = None
        elif key == "backspace":
            self.prompt = typed[:-1]
        elif self.asks == "pass":
            if key.isdecimal() and len(typed) < MOST_DIGITS:
                self.prompt = typed + key
        elif len(key) == 1 and key.isprintable() and len(typed) < MOST_NEEDLE:
            self.prompt = typed + key

    def _step(self, passes: Sequence[int], *, forward: bool) -> None:
        """To the next pass, or the one before; from the last one on to the latest picture."""
        if not passes:
            return
        if forward:
            after = len(passes) if self.at is None else bisect_right(passes, self.at)
            if after < len(passes):
                self._look_at(passes[after])
            else:
                self.at = None
        else:
            before = len(passes) if self.at is None else bisect_left(passes, self.at)
            self._look_at(passes[max(0, before - 1)])

    def _look_at(self, number: int) -> None:
        self.at, self.paused = number, True

    def _open(self, row: int, choices: Choices) -> None:
        if row < len(choices.processes):
            self.chosen = self.process = choices.processes[row]
            self._go(PROCESS)

    def _turn(self, choices: Choices, step: int) -> None:
        if self.view == PROCESS and choices.processes:
            at = self.row(choices.processes)
            self._open((at + step) % len(choices.processes), choices)
            return
        names = [OVERVIEW, *choices.views]
        at = names.index(self.view) if self.view in names else 0
        self._go(names[(at + step) % len(names)])

    def _go(self, view: str) -> None:
        self.view, self.scroll = view, 0

    def _move(self, key: str, choices: Choices) -> None:
        """Through the processes of the overview, through the lines of any other view."""
        lines, pages = _STEPS[key]
        if self.view == OVERVIEW:
            step = (lines > 0) - (lines < 0) + (pages > 0) - (pages < 0)
            if processes := choices.processes:
                at = self.row(processes) + step
                self.chosen = processes[min(max(0, at), len(processes) - 1)]
        else:
            self._scroll(key, choices)

    def _scroll(self, key: str, choices: Choices) -> None:
        lines, pages = _STEPS[key]
        self.scroll = max(0, self.scroll + lines + pages * choices.page)


_ALL = 1 << 20
_STEPS = {
    "up": (-1, 0),
    "down": (1, 0),
    "wheelup": (-_WHEEL_LINES, 0),
    "wheeldown": (_WHEEL_LINES, 0),
    "pageup": (0, -1),
    "pagedown": (0, 1),
    "home": (-_ALL, 0),
    "end": (_ALL, 0),
}
"""By key, how far to go: lines, and screenfuls."""
