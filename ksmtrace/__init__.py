"""ksmtrace: a profiler for Linux KSM. A plugin author needs this module's names alone."""

from importlib.metadata import PackageNotFoundError, version

from ksmtrace.hooks import hookimpl

try:
    __version__ = version("ksmtrace")
except PackageNotFoundError:
    __version__ = "0+unknown"

__all__ = ["__version__", "hookimpl"]
