"""A bar on stderr for what may take longer than a look."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[float], None]]:
    """Draws a bar on stderr where that is a terminal; without a `total` one that only moves.

    Gives the function to call with how much of `total` is done.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: list[str | ProgressColumn] = [what, BarColumn(), TimeElapsedColumn()]
    if total is not None:
        columns += [MofNCompleteColumn(), "done, about", TimeRemainingColumn(), "left"]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.update(task, completed=count)
