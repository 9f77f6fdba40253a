"""ksmtrace_session_start: a plugin takes the arguments that it wants, and changes no other's."""

from dataclasses import FrozenInstanceError

import pytest

from ksmtrace import hookimpl
from ksmtrace.pipeline.control import RunControl
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.session import Session
from support.runs import EMPTY, runner
from support.streams import events

KINDS = {"session": Session, "options": RunOptions, "control": RunControl}


class Nothing:
    @hookimpl
    def ksmtrace_session_start(self):
        self.given = ()


class SessionAlone:
    @hookimpl
    def ksmtrace_session_start(self, session):
        self.given = (session,)


class OptionsAlone:
    @hookimpl
    def ksmtrace_session_start(self, options):
        self.given = (options,)


class EverythingInAnyOrder:
    @hookimpl
    def ksmtrace_session_start(self, control, session, options):
        self.given = (control, session, options)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        (Nothing, ()),
        (SessionAlone, ("session",)),
        (OptionsAlone, ("options",)),
        (EverythingInAnyOrder, ("control", "session", "options")),
    ],
)
def test_a_plugin_is_given_what_it_asks_for(kind, wanted):
    plugin = kind()
    run = runner([events(*EMPTY)], {"plugin": plugin}, groups=7)
    run.run()
    assert plugin.given == tuple(getattr(run, name) for name in wanted)
    assert [type(one) for one in plugin.given] == [KINDS[name] for name in wanted]
    assert all(one.groups == 7 for one in plugin.given if isinstance(one, RunOptions))


@pytest.mark.parametrize("name", ["record", "quit"])
def test_a_plugin_cannot_change_what_another_is_asked_for(name):
    with pytest.raises(FrozenInstanceError, match=name):
        setattr(RunOptions(), name, "elsewhere")
