"""ksmtrace: a profiler for Linux KSM. A plugin author needs this module's names alone."""

from importlib.metadata import PackageNotFoundError, version

from ksmtrace.hooks import hookimpl

try:
    __version__ = version("ksmtrace")
except PackageNotFoundError:
    __version__ = "0+unknown"

SCHEMA_VERSION = "1.0"
"""Of the JSON documents: docs/REFERENCE.md says what raises which number."""

__all__ = ["SCHEMA_VERSION", "__version__", "hookimpl"]
