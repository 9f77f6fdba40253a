"""Calls hooks plugin by plugin: one that raises is named, and the others still see every batch."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pluggy
from prometheus_client.core import Metric

from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.section import Section

TRACE = bool(os.environ.get("KSMTRACE_TRACE_PLUGINS"))

_MAPPINGS = ("ksmtrace_analysis", "ksmtrace_conclude")
"""Hooks that return keys and values."""

_MANY: dict[str, type] = {
    "ksmtrace_metrics": Metric,
    "ksmtrace_panels": object,
    "ksmtrace_sections": Section,
}
"""Hooks that return several objects, and what those are."""


class PluginCalls:
    """Hook calls with a time account and a policy for failures.

    pluggy's own call stops at the first implementation that raises, and those after it would miss
    the batch: their numbers would be wrong without notice. So each implementation is called on its
    own, in pluggy's order.

    Attributes:
        seconds: seconds spent in each plugin, by name.
        failures: one line for each plugin that raised and was dropped, by name.
    """

    def __init__(self, manager: pluggy.PluginManager, *, fail_fast: bool) -> None:
        self._manager = manager
        self._fail_fast = fail_fast
        self.seconds: dict[str, float] = {name: 0.0 for name, _ in manager.list_name_plugin()}
        self.failures: dict[str, str] = {}
        self._blamed: set[str] = set()

    def each(self, hook: str, **arguments: object) -> Iterator[tuple[str, Any]]:
        """Call `hook` on every plugin that has it; yields (plugin name, result).

        Raises:
            KsmtraceError: a plugin raised and the run is to fail fast.
        """
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            name = implementation.plugin_name
            if name not in self.failures:
                result = self._one(implementation, hook, arguments)
                if name not in self.failures:
                    yield name, result

    def finish(self, **arguments: object) -> None:
        """Call ksmtrace_session_finish on every plugin, also on those after one that raises.

        Raises:
            KsmtraceError: the first that a plugin raised.
        """
        first: KsmtraceError | None = None
        hook = "ksmtrace_session_finish"
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                self._one(implementation, hook, arguments)
            except KsmtraceError as error:
                first = first or error
        if first is not None:
            raise first

    def _one(
        self, implementation: pluggy.HookImpl, hook: str, arguments: dict[str, object]
    ) -> object:
        name = implementation.plugin_name
        started = time.perf_counter()
        if TRACE:
            _say(f"{name}.{hook}({', '.join(implementation.argnames)})")
        try:
            result = implementation.function(*(arguments[a] for a in implementation.argnames))
            # A generator raises when it is read: it is read here, under its plugin's name.
            return _read(hook, result)
        except KsmtraceError:
            raise
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            self._failed(name, hook, error)
            return None
        finally:
            self.seconds[name] += time.perf_counter() - started

    def call(self, hook: str, **arguments: object) -> None:
        """Call `hook` on every plugin that has it and drop the results."""
        for _ in self.each(hook, **arguments):
            pass

    def blame(self, name: str, what: str) -> None:
        """Say once what of the answers of plugin `name` is left out; the plugin itself stays.

        Raises:
            KsmtraceError: the run is to fail fast.
        """
        if self._fail_fast:
            raise KsmtraceError(f"{what}; leave it out with -p no:{name}", ExitStatus.BAD_INPUT)
        if what not in self._blamed:
            self._blamed.add(what)
            _say(f"{what}; going on without that metric")

    def _failed(self, name: str, hook: str, error: Exception) -> None:
        why = " ".join(str(error).split())
        what = f"plugin {name!r} raised {type(error).__name__} in {hook}: {why}"
        if self._fail_fast:
            raise KsmtraceError(
                f"{what}; leave it out with -p no:{name}", ExitStatus.BAD_INPUT
            ) from error
        self.failures[name] = what
        _say(f"{what}; going on without it")


def _read(hook: str, result: Any) -> object:  # noqa: ANN401 - a plugin may return anything
    """A hook's result as its callers expect it; None is an empty one.

    Raises:
        TypeError, ValueError: it is something else, or something else is in it.
    """
    if hook in _MAPPINGS:
        return {} if result is None else dict(result)
    if hook not in _MANY:
        return result
    found = () if result is None else tuple(result)
    for one in found:
        if not isinstance(one, _MANY[hook]):
            raise TypeError(f"it gives {one!r}, which is no {_MANY[hook].__name__}")
    return found


def _say(line: str) -> None:
    print(f"ksmtrace: {line}", file=sys.stderr)  # noqa: T201 - stdout belongs to the answers
