"""Calls hooks plugin by plugin: one that raises is named, and the others still see every batch."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pluggy

from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.lines import one_line, say
from ksmtrace.pipeline.answers import Complain, json_object, metrics, panels, sections
from ksmtrace.pipeline.foreign import Prints, is_foreign, staying
from ksmtrace.pipeline.limits import HookLimitError, Limits, Watch

TRACE = bool(os.environ.get("KSMTRACE_TRACE_PLUGINS"))

_LONGEST_REASON = 500
_MOST_BLAMED = 100


class PluginCalls:
    """Hook calls with a time account and a policy for failures.

    pluggy's own call stops at the first implementation that raises, and those after it would miss
    the batch: their numbers would be wrong without notice. So each implementation is called on its
    own, in pluggy's order. What it answers is checked (`answers.py`); one of another package is
    kept from stdout (`foreign.py`), and within `limits.py`.

    Args:
        manager: the plugins.
        fail_fast: whether one that fails ends the run; else it is dropped.
        live: whether one that is over its limits fails; else that is said.
        limits: of plugins of other packages.

    Attributes:
        seconds: seconds spent in each plugin, by name.
        failures: one line for each plugin that raised and was dropped, by name.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        *,
        fail_fast: bool,
        live: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._manager = manager
        self._fail_fast = fail_fast
        self._prints = Prints()
        self._watch = Watch(limits or Limits(), enforced=live)
        self.seconds: dict[str, float] = {name: 0.0 for name, _ in manager.list_name_plugin()}
        self.failures: dict[str, str] = {}
        self._blamed: set[str] = set()
        self._foreign: dict[pluggy.HookImpl, bool] = {}

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
            say(f"{name}.{hook}({', '.join(implementation.argnames)})")
        complaints: list[str] = []
        try:
            values = [arguments[argument] for argument in implementation.argnames]
            if not self._is_foreign(implementation):
                result = _read(hook, implementation.function(*values), complaints.append)
            else:
                border = self._prints.kept_from_stdout(name)
                with border, self._watch.watching(name, hook), staying():
                    result = _read(hook, implementation.function(*values), complaints.append)
        except (KsmtraceError, KeyboardInterrupt):
            raise
        except HookLimitError as error:
            self._drop(name, str(error), error)
            return None
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, SystemExit too
            self._failed(name, hook, error)
            return None
        finally:
            self.seconds[name] += time.perf_counter() - started
        for complaint in complaints:
            self.blame(name, f"plugin {name!r} in {hook}: {complaint}")
        return result

    def _is_foreign(self, implementation: pluggy.HookImpl) -> bool:
        found = self._foreign.get(implementation)
        if found is None:
            found = self._foreign[implementation] = is_foreign(implementation.function)
        return found

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
        if what not in self._blamed and len(self._blamed) < _MOST_BLAMED:
            self._blamed.add(what)
            say(f"{what}; going on without that")

    def _failed(self, name: str, hook: str, error: BaseException) -> None:
        why = one_line(error)[:_LONGEST_REASON]
        self._drop(name, f"plugin {name!r} raised {type(error).__name__} in {hook}: {why}", error)

    def _drop(self, name: str, what: str, error: BaseException) -> None:
        if self._fail_fast:
            raise KsmtraceError(
                f"{what}; leave it out with -p no:{name}", ExitStatus.BAD_INPUT
            ) from error
        self.failures[name] = what
        say(f"{what}; going on without it")


def _read(hook: str, result: Any, complain: Complain) -> object:  # noqa: ANN401 - of any plugin
    """A hook's result as its callers expect it, without what is wrong in it; None is an empty one.

    A generator raises when it is read: it is read here, under its plugin's name.

    Raises:
        Exception: it is something else altogether.
    """
    match hook:
        case "ksmtrace_analysis" | "ksmtrace_conclude":
            return json_object({} if result is None else result, complain)
        case "ksmtrace_metrics":
            return metrics(() if result is None else result, complain)
        case "ksmtrace_panels":
            return panels(() if result is None else result, complain)
        case "ksmtrace_sections":
            return sections(() if result is None else result, complain)
        case _:
            return result
