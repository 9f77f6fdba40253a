"""Draws docs/pictures/screen.svg: the screen at the end of a replay of the bundled capture."""

import io
import re
from pathlib import Path

from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import DIMMED_MONOKAI

from ksmtrace.pipeline.manager import build_manager
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.plugins import BUILTINS, Role
from ksmtrace.plugins.tui.frame import frame
from ksmtrace.plugins.tui.picture import Picture
from ksmtrace.plugins.tui.view_state import ViewState
from ksmtrace.sources.capture import CaptureSource

REPOSITORY = Path(__file__).parent.parent
CAPTURE = REPOSITORY / "tests/replay/data/debian-6.1.ksmtrace"
SVG = REPOSITORY / "docs/pictures/screen.svg"
SIZE = 110, 38
"""Columns and lines of the screen."""


def screen() -> str:
    """The overview at the end of the capture, as SVG."""
    without = [f"no:{builtin.name}" for builtin in BUILTINS if builtin.role is Role.SINK]
    source = CaptureSource(CAPTURE, speed=None)
    run = Runner(source, build_manager(without), RunOptions(interval=3600), fail_fast=True)
    picture = Picture.of(run.run())
    console = Console(
        width=SIZE[0],
        height=SIZE[1],
        file=io.StringIO(),
        record=True,
        force_terminal=True,
        color_system="truecolor",
    )
    lines = frame(console, picture, ViewState(), SIZE, listens=True, over=False)
    console.print(Segments([s for line in lines for s in (*line, Segment.line())]), end="")
    title = "ksmtrace replay --hold"
    svg = console.export_svg(title=title, theme=DIMMED_MONOKAI, unique_id="screen")
    # rich would load a font from elsewhere
    return re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    SVG.write_text(screen(), encoding="utf-8")
