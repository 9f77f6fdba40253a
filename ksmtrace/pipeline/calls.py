"""Calls hooks plugin by plugin, so that one that raises is named and the others still see every batch."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pluggy

from ksmtrace.errors import ExitStatus, KsmtraceError

TRACE = bool(os.environ.get("KSMTRACE_TRACE_PLUGINS"))


class PluginCalls:
    """Hook calls with a time account and a policy for failures.

    pluggy's own call stops at the first implementation that raises, and those after it would miss the batch:
    their numbers would be wrong without a word. So each implementation is called on its own, in pluggy's order.

    Attributes:
        seconds: seconds spent in each plugin, by name.
        failures: one line for each plugin that raised and was dropped, by name.
    """

    def __init__(self, manager: pluggy.PluginManager, *, fail_fast: bool) -> None:
        self._manager = manager
        self._fail_fast = fail_fast
        self.seconds: dict[str, float] = {name: 0.0 for name, _ in manager.list_name_plugin()}
        self.failures: dict[str, str] = {}

    def each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
        """Call `hook` on every plugin that has it; yields (plugin name, result).

        Raises:
            KsmtraceError: a plugin raised and the run is to fail fast.
        """
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        for implementation in reversed(implementations):
            name = implementation.plugin_name
            if name in self.failures:
                continue
            started = time.perf_counter()
            try:
                result = implementation.function(*(arguments[a] for a in implementation.argnames))
                if isinstance(result, Iterator):
                    result = tuple(result)  # so that a generator raises here, under its plugin's name
            except KsmtraceError:
                raise
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything
                self._failed(name, hook, error)
                continue
            finally:
                self.seconds[name] += time.perf_counter() - started
            if TRACE:
                print(f"ksmtrace: {name}.{hook}({', '.join(implementation.argnames)})", file=sys.stderr)  # noqa: T201
            yield name, result

    def call(self, hook: str, **arguments: Any) -> None:  # noqa: ANN401
        """Call `hook` on every plugin that has it and drop the results."""
        for _ in self.each(hook, **arguments):
            pass

    def _failed(self, name: str, hook: str, error: Exception) -> None:
        what = f"plugin {name!r} raised {type(error).__name__} in {hook}: {error}"
        if self._fail_fast:
            raise KsmtraceError(f"{what}; leave it out with -p no:{name}", ExitStatus.BAD_INPUT) from error
        self.failures[name] = what
        print(f"ksmtrace: {what}; going on without it", file=sys.stderr)  # noqa: T201
