"""Variants of installed packages: found by their entry points, loaded when one is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from ksmtrace.engine.ksm.ksmd import KsmScanner
from ksmtrace.engine.ksm.variant import Variant
from ksmtrace.engine.ksm.watcher import Watcher
from ksmtrace.engine.machine.scanner import Relative, Scanner
from ksmtrace.errors import KsmtraceError

GROUP = "ksmtrace.variants"
"""Entry-point group by which a package adds a variant: its name, and an object `Variant`."""

_OWN = "ksmtrace"
_BUILT_IN = "built-in"
_MEMBERS = sorted(
    member
    for protocol in (Scanner, Relative)
    for member in {*vars(protocol), *protocol.__annotations__}
    if not member.startswith("_")
)
_NAME = re.compile(r"[A-Za-z][\w.+-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class VariantInfo:
    """One variant that is installed.

    Attributes:
        origin: "built-in", or "<distribution> <version>".
        does: the object that an entry point names; "" where none is needed.
    """

    name: str
    origin: str
    does: str


class InstalledVariants(Mapping[str, Variant]):
    """Variants by name: built-in ones first, then those of packages, by name.

    No package is looked at for a built-in name, and none is imported unless its variant, or the
    list of all, is asked for. A variant that cannot be used is not in the list; `broken` says why.

    Args:
        built_in: variants that need no entry point; their names cannot be taken.
    """

    def __init__(self, built_in: Mapping[str, Variant]) -> None:
        self._built_in = built_in
        self._loaded: dict[str, Variant | KsmtraceError] = {}

    def named(self, name: str) -> Variant:
        """The variant of this name.

        Raises:
            KsmtraceError: there is none; the message lists those that there are. Or a package has
                it, and it cannot be used: the message says why, and what to do.
        """
        if name in self._built_in:
            return self._built_in[name]
        if name not in self._points:
            raise KsmtraceError(f"unknown variant {name[:60]!r} (known: {', '.join(self)})")
        if name not in self._loaded:
            try:
                self._loaded[name] = _load(self._points[name])
            except KsmtraceError as error:
                self._loaded[name] = error  # what fails slowly does so once
        found = self._loaded[name]
        if isinstance(found, KsmtraceError):
            raise KsmtraceError(str(found)) from found
        return found

    def broken(self) -> list[str]:
        """One line for each entry point that brings no variant."""
        lines = [_line(point, f"the name is taken by {by}") for point, by in self._refused]
        for name in self._points:
            try:
                self.named(name)
            except KsmtraceError as error:
                lines.append(str(error))
        return lines

    def listed(self) -> list[VariantInfo]:
        """Those that need no entry point, then one for each entry point; nothing is imported."""
        found = [VariantInfo(name, _BUILT_IN, "") for name in self._built_in]
        for point in sorted(self._all_points, key=lambda point: point.name):
            origin = _BUILT_IN if _package(point) == _OWN else _origin(point)
            found.append(VariantInfo(point.name, origin, point.value))
        return found

    @contextmanager
    def blamed(self, variant: Variant) -> Iterator[None]:
        """Makes one line of what the code of a package's variant raises: KsmtraceError."""
        try:
            yield
        except KsmtraceError:
            raise
        except Exception as error:
            if variant.name in self._built_in:
                raise
            raise KsmtraceError(f"variant {variant.name!r} failed: {_text(error)}") from error

    def __getitem__(self, name: str) -> Variant:
        if name not in self._built_in and name not in self._points:
            raise KeyError(name)
        return self.named(name)

    def __iter__(self) -> Iterator[str]:
        yield from self._built_in
        for name in self._points:
            try:
                self.named(name)
            except KsmtraceError:
                continue
            yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @cached_property
    def _points(self) -> dict[str, EntryPoint]:
        found: dict[str, EntryPoint] = {}
        for point in self._all_points:
            if point.name not in self._built_in:
                found.setdefault(point.name, point)
        return dict(sorted(found.items()))

    @cached_property
    def _refused(self) -> list[tuple[EntryPoint, str]]:
        return [
            (point, _OWN if point.name in self._built_in else _origin(self._points[point.name]))
            for point in self._all_points
            if self._points.get(point.name) is not point
        ]

    @cached_property
    def _all_points(self) -> list[EntryPoint]:
        # ksmtrace's own first, so that no package takes their names
        points = entry_points(group=GROUP)
        return sorted(points, key=lambda point: (_package(point) != _OWN, _origin(point)))


def _load(point: EntryPoint) -> Variant:
    if not _NAME.fullmatch(point.name):
        why = "a name begins with a letter, and has letters, digits, '.', '_', '+' and '-' alone"
        raise KsmtraceError(_line(point, why))
    try:
        variant = point.load()
        why = _fault(variant, point.name)
    except (Exception, SystemExit) as error:
        raise KsmtraceError(_line(point, _text(error))) from error
    if why:
        raise KsmtraceError(_line(point, why))
    assert isinstance(variant, Variant), "it has no fault"
    return variant


def _fault(variant: object, name: str) -> str:
    """Why `variant` cannot be used; "" if it can, as far as a machine without processes tells."""
    if not isinstance(variant, Variant):
        return f"it is a {type(variant).__name__} and no ksmtrace.engine.ksm.variant.Variant"
    if variant.name != name:
        return f"it calls itself {variant.name!r}"
    scanner: object = variant.make(variant, 1, Watcher())
    if not isinstance(scanner, (KsmScanner, Relative)):
        missing = [one for one in _MEMBERS if not hasattr(scanner, one)]
        return f"its {type(scanner).__name__} is no Scanner: it lacks {', '.join(missing)}"
    _ = scanner.counters(), scanner.readings(), scanner.shown_tunables
    return ""


def _line(point: EntryPoint, why: str) -> str:
    package = _package(point)
    return (
        f"variant {point.name!r} of {_origin(point)} (entry point {point.value}) cannot be used: "
        f"{why}; mend or uninstall {package}"
    )


def _text(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
