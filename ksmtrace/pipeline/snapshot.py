"""A run at one moment: its document, metrics, panels and sections, made when first asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ksmtrace import SCHEMA_VERSION, __version__
from ksmtrace.errors import reason_of
from ksmtrace.events.kinds import EventKind
from ksmtrace.pipeline.known_parts import known_parts
from ksmtrace.pipeline.metric_names import RUN, Publishers
from ksmtrace.pipeline.state import LOSS_CAUSES

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from rich.console import RenderableType

    from ksmtrace.pipeline.calls import PluginCalls
    from ksmtrace.pipeline.exposition import Exposition
    from ksmtrace.pipeline.state import RunState
    from ksmtrace.section import Section

MISSION = (
    EventKind.CMP_AND_MERGE_PAGE,
    EventKind.TRY_TO_MERGE_ONE_PAGE,
    EventKind.REPLACE_PAGE,
    EventKind.BREAK_COW,
)
"""The four functions that the contract names in `probes`."""


class Snapshot:
    """State of a run. What it returns is finished: a sink may hand it to a thread of its own.

    Attributes:
        session: the facts of the run.
        tunables: /sys/kernel/mm/ksm's writable files as they stand, name to text.
        final: the run is over.
    """

    def __init__(self, state: RunState, calls: PluginCalls, *, final: bool) -> None:
        self._state = state
        self._calls = calls
        self.final = final
        self.session = state.session_told
        self.tunables = dict(state.reconstruction.tunables)

    @property
    def silent(self) -> dict[str, dict[str, Any]]:
        """The document's part of that name."""
        return self._state.silences.to_json()

    @cached_property
    def document(self) -> dict[str, Any]:
        """The JSON document of the command line's contract."""
        calls, session = self._calls, self.session
        analyzers = dict(calls.each("ksmtrace_analysis", session=session))
        document = {**self._account(), "analyzers": analyzers}
        for name, conclusion in calls.each("ksmtrace_conclude", document=document, session=session):
            analyzers.setdefault(name, {}).update(conclusion)
        document["plugins_failed"] = dict(calls.failures)
        return document

    def _account(self) -> dict[str, Any]:
        """What is known without plugins."""
        state, session = self._state, self.session
        by_kind = {kind.name: count for kind, count in state.counts.items()}
        checked = state.reconciliation
        return {
            "schema_version": SCHEMA_VERSION,
            "version": __version__,
            "source": session.source,
            "kernel": {"release": session.kernel.release, "build_id": session.kernel.build_id},
            "tier": session.tier,
            "timed": session.timed,
            "duration_seconds": round((state.last_ns - session.monotonic_ns) / 1e9, 3),
            "probes": {
                kind.name.lower(): {
                    "via": probe.via,
                    "exactness": probe.exactness.value,
                    "note": probe.note,
                    **({"share": probe.share} if probe.by_windows else {}),
                }
                for kind, probe in session.without(state.silences.silent).probes.items()
            },
            "silent": self.silent,
            "events": {
                "total": sum(by_kind.values()),
                "lost": state.lost,
                "lost_by_cause": {cause: state.lost_by[cause] for cause in LOSS_CAUSES},
                "by_kind": by_kind,
            },
            "stream": self._stream(),
            "probe_time": state.probe_times.to_json(),
            "passes": state.passes,
            "counters_at_start": {g.name.lower(): v for g, v in sorted(checked.first.items())},
            "counters": {g.name.lower(): v for g, v in sorted(checked.counters.items())},
            "counters_unread": self._unread(),
            "reconstruction": {
                "complete": state.reconstruction.complete,
                "reason": state.reconstruction.reason,
            },
            "reconciliation": checked.to_json(),
            "self_check": {
                "at_scan_stop": checked.at_scan_stop,
                "at_scan_stop_differing": checked.at_scan_stop_differing,
                "counts": state.self_check.to_json(),
            },
        }

    def _unread(self) -> dict[str, dict[str, Any]]:
        """The counters that could not be read at times: how often, why, and how old each is."""
        checked, session = self._state.reconciliation, self.session
        found = {}
        for gauge, (count, why) in sorted(checked.failures.items()):
            since = checked.old.get(gauge)
            found[gauge.name.lower()] = {
                "failures": count,
                "reason": reason_of(why),
                "old": gauge in checked.old,
                "read_seconds": None
                if since is None
                else round((since - session.monotonic_ns) / 1e9, 3),
            }
        return found

    def _stream(self) -> dict[str, Any]:
        """Whether the events ended before the run, when and why."""
        end = self._state.stream_end
        if end is None:
            return {"ended_seconds": None, "reason": ""}
        return {
            "ended_seconds": round((end.ts - self.session.monotonic_ns) / 1e9, 3),
            "reason": end.text,
        }

    def _concluded(self) -> PluginCalls:
        """The plugins, once each has concluded: they may show what they concluded."""
        _ = self.document
        return self._calls

    @cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Metric families of every plugin, then those of the run itself; no name comes twice.

        A name is the run's own or else that of the plugin that is registered first. Who else
        publishes it is named, and that family is left out, as is one that cannot be written.

        Raises:
            KsmtraceError: a family is to be left out and the run is to fail fast.
        """
        return tuple(family for family, _ in self._written)

    @cached_property
    def exposition(self) -> Exposition:
        """`metrics` as text.

        Raises:
            KsmtraceError: as for `metrics`.
        """
        from ksmtrace.pipeline.exposition import Exposition

        text = b"".join(written.text for _, written in self._written)
        return Exposition(text, b"".join(written.openmetrics for _, written in self._written))

    @cached_property
    def _written(self) -> tuple[tuple[Metric, Exposition], ...]:
        from ksmtrace.pipeline.exposition import exposition_of
        from ksmtrace.pipeline.run_metrics import run_metrics

        calls = self._concluded()
        given = dict(calls.each("ksmtrace_metrics", session=self._state.session_now))
        own = run_metrics(self._state, calls)
        publishers = Publishers()
        for family in own:
            publishers.add(RUN, family)
        kept = {
            plugin: [
                (family, written)
                for family in given[plugin]
                if (written := self._accepted(publishers, plugin, family)) is not None
            ]
            for plugin in filter(given.__contains__, calls.seconds)
        }
        theirs = (pair for plugin in given for pair in kept[plugin])
        return (*theirs, *((family, exposition_of(family)) for family in own))

    def _accepted(self, publishers: Publishers, plugin: str, family: Metric) -> Exposition | None:
        """A family of a plugin as text; None where the plugin is blamed for it."""
        from ksmtrace.pipeline.exposition import checked_exposition

        try:
            written = checked_exposition(family)
            taken = publishers.add(plugin, family)
        except Exception as error:  # noqa: BLE001 - what a plugin made may raise anything
            name = getattr(family, "name", None)
            self._calls.blame(
                plugin, f"plugin {plugin!r} publishes {name!r}, which cannot be written: {error}"
            )
            return None
        if taken is None:
            return written
        name, other = taken
        by = {RUN: ", as the run itself does", plugin: " twice"}
        again = by.get(other, f", as plugin {other!r} does")
        self._calls.blame(plugin, f"plugin {plugin!r} publishes {name}{again}")
        return None

    @cached_property
    def sections(self) -> tuple[tuple[str, Section], ...]:
        """(plugin name, section) of every plugin that has some, in the order of registration.

        Each is without what this run cannot know. Once the stream has ended, it says until when it
        knows.
        """
        found = tuple(
            (name, known_parts(section, self.session))
            for name, section in self._by_plugin("ksmtrace_sections")
        )
        if self._state.stream_end is None:
            return found
        until = f"events as far as {self._stream()['ended_seconds']:.0f} s into the run"
        return tuple(
            (name, replace(section, exactness="; ".join(filter(None, (until, section.exactness)))))
            for name, section in found
        )

    @cached_property
    def panels(self) -> tuple[tuple[str, RenderableType], ...]:
        """(plugin name, renderable) of every plugin with panels, in the order of registration."""
        return self._by_plugin("ksmtrace_panels")

    def _by_plugin(self, hook: str) -> tuple[tuple[str, Any], ...]:
        calls = self._concluded()
        given = dict(calls.each(hook, session=self.session))
        return tuple((name, one) for name in calls.seconds if name in given for one in given[name])
