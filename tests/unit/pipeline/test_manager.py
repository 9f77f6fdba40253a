"""Plugins of other packages that do not fit: one line names the plugin and what is wrong."""

from importlib.metadata import EntryPoint

import pytest

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError
from ksmtrace.pipeline import manager


class UnknownArgument:
    @hookimpl
    def ksmtrace_batch(self, batch, reading):
        pass


class UnknownHook:
    @hookimpl
    def ksmtrace_bath(self, batch):
        pass


class Unloadable:
    def __init__(self):
        raise ImportError("two\nlines")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (UnknownArgument, "plugin 'other' cannot be loaded.*'reading'.*leave it out with -p no:"),
        (UnknownHook, "unknown hook 'ksmtrace_bath'"),
        (Unloadable, "plugin 'other' cannot be loaded: ImportError: two lines; leave it out"),
    ],
)
def test_a_plugin_that_does_not_fit_is_refused_in_one_line(monkeypatch, kind, words):
    point = EntryPoint("other", f"{__name__}:{kind.__name__}", manager.GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: kind)
    monkeypatch.setattr(manager, "external_plugins", lambda: [point])
    with pytest.raises(KsmtraceError, match=words) as caught:
        manager.build_manager()
    assert len(str(caught.value).splitlines()) == 1
