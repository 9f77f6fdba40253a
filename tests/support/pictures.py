"""Streams, sessions and sections made by hand, for tests of drawings."""

from ksmtrace import hookimpl
from ksmtrace.events import EventKind
from ksmtrace.plugins.tui.picture import Picture
from ksmtrace.section import Chart, Figure, Section, Table
from ksmtrace.session import Exactness, Kernel, Probe, Session
from support.runs import EMPTY, analyse, examined, lost, plugin, process, runner, start, stop
from support.story import story
from support.streams import events

ANALYZERS = ("stable_tree", "merge_life", "unstable_tree", "volatile")
EVIL = b"\x1b]0;x\x07[red]"
EVIL_NAME = "\x1b[2J<script>alert(1)</script> [red]&amp;"


def long_session(**changes) -> Session:
    """Probes, notes and a kernel with long names."""
    probes = {
        kind: Probe(
            f"raw_tracepoint some_rather_long_name and kprobe {kind.name}",
            Exactness.DERIVED,
            "x y " * 40,
        )
        for kind in EventKind
        if kind is not EventKind.LOST
    }
    kernel = Kernel(
        "6.18.44-some-very-long-local-version-of-a-distribution", "ab" * 20, "x86_64", 4096
    )
    return Session("live", kernel, "tracepoint", probes, **changes)


def evil_rows() -> list[dict]:
    """A process whose name has escape codes and markup, and a loss."""
    changed = examined(1, mm=1, old=1, new=2)
    return [*EMPTY, process(1, 4194304, EVIL), start(0), *[changed] * 30, stop(0), lost(123456789)]


def _three_processes() -> list[dict]:
    rows = [*EMPTY]
    for mm in (1, 2, 3, 4):
        rows += [process(mm, 4194300 + mm, b"qemu-system-x86"), examined(1, mm=mm, old=1, new=2)]
    return rows


STREAMS = {"story": story(), "evil": evil_rows(), "three": _three_processes(), "nothing": []}


def section(title: str = "Made by hand") -> Section:
    """A section with everything in it, names that would do harm included."""
    return Section(
        title,
        f"What {title} has to say is long, much longer than one line of a small terminal: "
        f"{'so ' * 40}",
        [
            Figure("saved", 5 << 20, "bytes", "exact", "kernel: 5.0 MiB"),
            Figure("not known", None, "pages"),
            Figure("share", 0.25, "ratio"),
        ],
        [
            Table(
                "Processes",
                ("process", "pages", "age"),
                ("text", "pages", "seconds"),
                [("alpha 1", 30, 2.5), (EVIL_NAME, 200, None), ("beta 2", 7, 9000.0)],
                "the first three",
            )
        ],
        [
            Chart("Over time", "line", "time", [0.0, 1.0, 2.0, 4.0],
                  {"up": [0, 1, 2, 4], "gap": [4, None, None, 1]}, ("seconds", "pages")),
            Chart("By kind", "bar", "kind", ["a", EVIL_NAME, "c"],
                  {"pages": [1, 30, 0], "more": [2, 3, None]}, ("text", "pages")),
            Chart("Ranges", "heat", "address", [0, 1, 2, 3],
                  {"alpha 1": [0, 1, 2, 3], EVIL_NAME: [3, None, 1, 0]},
                  ("", ""), ("never", "rarely", "often", "always")),
        ],
        "exact, but for what it cannot know",
    )  # fmt: skip


class Tells:
    """A plugin with a section and a panel."""

    def __init__(self, title: str) -> None:
        self._title = title

    @hookimpl
    def ksmtrace_sections(self):
        return [section(self._title)]

    @hookimpl
    def ksmtrace_panels(self):
        return [f"panel of {self._title}"]


def picture(rows: list[dict], *names: str, of: Session | None = None, more: int = 0) -> Picture:
    """The picture at the end of `rows`, with so many plugins more that tell something."""
    if not more:
        return Picture.of(analyse(rows, *names, of=of))
    plugins = {name: plugin(name) for name in names}
    plugins |= {f"other{number}": Tells(f"Other {number}") for number in range(more)}
    return Picture.of(runner([events(*rows)] if rows else [], plugins, of, interval=3600).run())
