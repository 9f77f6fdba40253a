"""Every hook of the pipeline, in the order in which a run calls them.

A plugin is a class named `Plugin` whose methods carry `@ksmtrace.hookimpl`; it may leave out any
hook and any argument. One thread calls all hooks. A plugin whose hook raises is named and dropped
(live) or ends the run (record, replay).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksmtrace.hooks import hookspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from prometheus_client.core import Metric
    from rich.console import RenderableType

    from ksmtrace.events.batch import EventBatch
    from ksmtrace.events.readings import Reading
    from ksmtrace.model.reconstruction import Reconstruction
    from ksmtrace.model.scan import Scan
    from ksmtrace.pipeline.control import RunControl
    from ksmtrace.pipeline.options import RunOptions
    from ksmtrace.pipeline.snapshot import Snapshot
    from ksmtrace.section import Section
    from ksmtrace.session import Session


@hookspec
def ksmtrace_prepare(options: RunOptions) -> None:
    """A run is about to begin: start other processes that need the privileges of this one.

    Called before they are given up (`--drop-capabilities`). A thread that were started here would
    keep them.
    """


@hookspec
def ksmtrace_session_start(session: Session, options: RunOptions, control: RunControl) -> None:
    """A run begins: open what the plugin needs.

    `options` is what was asked for; by `control` a plugin can end the run.
    """


@hookspec
def ksmtrace_lost(count: int, session: Session) -> None:
    """`count` events were dropped; called before the batch that they would have been in."""


@hookspec
def ksmtrace_batch(batch: EventBatch, reconstruction: Reconstruction, session: Session) -> None:
    """Events in stream order; `reconstruction` is ksmd's state after the last of them.

    A batch ends at each SCAN_STOP and at each reading of the kernel's counters, wherever the source
    cut it. A LOST is a batch of its own, for numbers of rmap_items from before it hold no longer.
    What a plugin derives must not depend on where else the stream is cut into batches: a replay
    cuts it at other places than the live run did.
    """


@hookspec
def ksmtrace_reading(reading: Reading, reconstruction: Reconstruction, session: Session) -> None:
    """The kernel's counters were read: called after the batch that ends with the reading.

    `reconstruction` is ksmd's state at the reading. Each reading comes once, complete, in stream
    order.
    """


@hookspec
def ksmtrace_scan_end(scan: Scan, reconstruction: Reconstruction, session: Session) -> None:
    """A pass ended: ksmd's own heartbeat."""


@hookspec
def ksmtrace_after_pass(snapshot: Snapshot, session: Session) -> None:
    """For sinks: a pass ended, and every plugin has taken it in; the state of that moment."""


@hookspec
def ksmtrace_tick(session: Session) -> None:
    """Time passes: called a few times a second, whether events come or not.

    The place for what is due by the clock, whatever the interval between two publications.
    """


@hookspec
def ksmtrace_analysis(session: Session) -> Mapping[str, object]:
    """The plugin's part of the JSON document, under `analyzers.<plugin name>`; keys name units."""
    return {}


@hookspec
def ksmtrace_conclude(document: Mapping[str, Any], session: Session) -> Mapping[str, object]:
    """What follows from the figures of all plugins: more keys for `analyzers.<plugin name>`.

    Called with the document once every `ksmtrace_analysis` is in it, and before metrics, panels and
    sections are asked for.
    """
    return {}


@hookspec
def ksmtrace_metrics(session: Session) -> Iterable[Metric]:
    """Fresh Prometheus metric families, named `ksmtrace_<noun>_<unit>`.

    A family with a name that the run itself or a plugin registered before publishes is refused.
    """
    return ()


@hookspec
def ksmtrace_panels(session: Session) -> Iterable[RenderableType]:
    """What the plugin shows on the screen: rich renderables, usable at 80 columns.

    They are drawn later and by another thread: they must hold what they show, not read it from the
    plugin.
    """
    return ()


@hookspec
def ksmtrace_sections(session: Session) -> Iterable[Section]:
    """The plugin's findings in full, as data: for a view of the screen and a part of the report."""
    return ()


@hookspec
def ksmtrace_publish(snapshot: Snapshot, session: Session) -> None:
    """For sinks, once an interval and once at the end: the run at that moment."""


@hookspec
def ksmtrace_session_finish(session: Session) -> None:
    """The run is over: close what `ksmtrace_session_start` opened; called whatever happened."""
