"""Draws the screen at the end of a replay, as its user sees it.

python -m tools.screen                  docs/pictures/screen.svg, of the bundled capture
python -m tools.screen DIR [CAPTURE]    pictures of every view, size and background, into DIR
"""

import io
import re
import sys
from itertools import product
from pathlib import Path

import vl_convert
from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, DIMMED_MONOKAI, TerminalTheme

from ksmtrace.plugins.tui.frame import frame
from ksmtrace.plugins.tui.picture import Picture
from ksmtrace.plugins.tui.view_state import OVERVIEW, PROCESS, ViewState
from support.tiers import answered

REPOSITORY = Path(__file__).parent.parent
CAPTURE = REPOSITORY / "tests/replay/data/debian-6.1.ksmtrace"
SVG = REPOSITORY / "docs/pictures/screen.svg"
SIZE = 110, 38
"""Columns and lines of the screen in docs/."""

SIZES = ((80, 24), (120, 40), (200, 50))
BACKGROUNDS = {"dark": DIMMED_MONOKAI, "light": DEFAULT_TERMINAL_THEME}
FONT = "DejaVu Sans Mono"
"""A font with block elements that is at hand where pictures are looked at."""


def screen(
    picture: Picture | None = None,
    state: ViewState | None = None,
    size: tuple[int, int] = SIZE,
    theme: TerminalTheme = DIMMED_MONOKAI,
) -> str:
    """One screen as SVG; by default the overview at the end of the bundled capture."""
    console = Console(
        width=size[0],
        height=size[1],
        file=io.StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
    )
    shown = picture or Picture.of(answered(CAPTURE))
    lines = frame(console, shown, state or ViewState(), size, listens=True, over=False)
    console.print(Segments([s for line in lines for s in (*line, Segment.line())]), end="")
    svg = console.export_svg(title="ksmtrace replay --hold", theme=theme, unique_id="screen")
    # rich would load a font from elsewhere
    return re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)


def write_all(directory: Path, capture: Path) -> None:
    """Every view in every size, on black and on white, as PNG; of a full capture at two tiers."""
    directory.mkdir(parents=True, exist_ok=True)
    as_it_is = Picture.of(answered(capture))
    pictures = [as_it_is]
    if as_it_is.document["tier"] == "full":
        pictures.append(Picture.of(answered(capture, "tracepoint")))
    for picture, size, background in product(pictures, SIZES, BACKGROUNDS):
        views = [OVERVIEW, PROCESS, *picture.views()]
        # backgrounds differ in colours alone: one shows where things are
        for view in views if background == "dark" else (OVERVIEW, "heat_map"):
            process = next((name for name, _ in picture.processes()), "")
            state = ViewState(view=view, process=process)
            svg = screen(picture, state, size, BACKGROUNDS[background])
            name = f"{picture.document['tier']}-{view or 'overview'}"
            path = directory / f"{name}-{size[0]}x{size[1]}-{background}.png"
            path.write_bytes(vl_convert.svg_to_png(svg.replace("Fira Code", FONT)))


if __name__ == "__main__":
    if sys.argv[1:]:
        write_all(Path(sys.argv[1]), Path(*sys.argv[2:3] or (CAPTURE,)))
    else:
        SVG.write_text(screen(), encoding="utf-8")
