"""Builds a fresh plugin manager for each run: built-ins by name, others by entry point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import pluggy

from ksmtrace import hookspecs
from ksmtrace.errors import KsmtraceError
from ksmtrace.lines import one_line
from ksmtrace.pipeline.foreign import Prints, keep_descriptor_1, staying
from ksmtrace.plugins import BUILTINS

GROUP = "ksmtrace.plugins"
"""Entry-point group by which other packages add plugins."""


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One plugin that is installed.

    Attributes:
        role: "analyzer", "sink", or "" for a plugin of another package.
        origin: "built-in", or "<distribution> <version>".
    """

    name: str
    role: str
    origin: str
    does: str


def external_plugins() -> list[EntryPoint]:
    """Entry points of other packages, sorted by name."""
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def installed_plugins() -> list[PluginInfo]:
    """Built-in plugins first, then those of other packages; nothing is imported."""
    found = [PluginInfo(b.name, b.role.value, "built-in", b.does) for b in BUILTINS]
    for point in external_plugins():
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        found.append(PluginInfo(point.name, "", origin, point.value))
    return found


def selected_names(choices: Sequence[str]) -> list[str]:
    """Names that remain after `-p` choices: "no:NAME" leaves one out, "NAME" wants it to exist.

    Raises:
        KsmtraceError: a choice names no installed plugin, or two plugins have one name.
    """
    names = [info.name for info in installed_plugins()]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise KsmtraceError(
            f"two installed plugins are called {min(twice)!r}: "
            "uninstall one (`ksmtrace plugins` lists them)"
        )
    blocked = set()
    for choice in choices:
        name = choice.removeprefix("no:")
        if name not in names:
            raise KsmtraceError(
                f"unknown plugin {name!r} (-p {choice}); installed: {', '.join(names)}"
            )
        if choice != name:
            blocked.add(name)
    return [name for name in names if name not in blocked]


def build_manager(choices: Sequence[str] = ()) -> pluggy.PluginManager:
    """A manager with one fresh instance of each selected plugin.

    Raises:
        KsmtraceError: a plugin is unknown, cannot be imported or does not fit the hooks.
    """
    manager = pluggy.PluginManager("ksmtrace")
    manager.add_hookspecs(hookspecs)
    builtins = {builtin.name for builtin in BUILTINS}
    others = {point.name: point for point in external_plugins()}
    prints = Prints()
    for name in selected_names(choices):
        try:
            if name in builtins:
                manager.register(import_module(f"ksmtrace.plugins.{name}").Plugin(), name=name)
            else:
                keep_descriptor_1()
                with prints.kept_from_stdout(name), staying():
                    manager.register(others[name].load()(), name=name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            why = one_line(error)  # of a hook that does not fit, pluggy makes a list
            raise KsmtraceError(
                f"plugin {name!r} cannot be loaded: {type(error).__name__}: {why}; "
                f"leave it out with -p no:{name}"
            ) from error
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise KsmtraceError(f"plugin does not fit the hooks: {error}") from error
    return manager
