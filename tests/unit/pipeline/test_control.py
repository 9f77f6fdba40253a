"""RunControl ends a run in order, whoever asks and whenever; what is announced is known to all."""

import pytest

from ksmtrace import hookimpl
from ksmtrace.pipeline.control import RunControl
from support.runs import EMPTY, plugin, runner
from support.streams import ListSource, events, session

BATCHES = [events(*EMPTY), events(*EMPTY), events(*EMPTY)]


class Endless(ListSource):
    """Plays one batch again and again until it is stopped."""

    def batches(self):
        while self._batches:
            yield self._batches[0]


@pytest.mark.parametrize("how", [RunControl.quit, RunControl.interrupt])
def test_a_plugin_ends_the_run_as_if_its_source_had_ended(how):
    class Ender:
        """Ends the run at its third batch."""

        def __init__(self):
            self.seen, self.final = 0, []

        @hookimpl
        def ksmtrace_session_start(self, control):
            self.control = control

        @hookimpl
        def ksmtrace_batch(self):
            self.seen += 1
            if self.seen == 3:
                how(self.control)

        @hookimpl
        def ksmtrace_publish(self, snapshot):
            self.final.append(snapshot.final)

    ender = Ender()
    run = runner(BATCHES, {"ender": ender}, interval=3600, source=Endless)
    run.run()
    assert (ender.seen, ender.final) == (3, [True])
    assert run.source.closed
    assert run.control.quitted == (how is RunControl.quit)
    assert run.control.interrupted == (how is RunControl.interrupt)


@pytest.mark.parametrize("how", [RunControl.quit, RunControl.interrupt])
def test_a_run_that_was_ended_before_it_began_takes_in_nothing(how):
    control = RunControl()
    how(control)
    source = ListSource(session(), BATCHES)
    control.attach(source)
    assert list(source.batches()) == []


def test_an_interrupt_that_came_is_not_waited_for():
    control = RunControl()
    control.interrupt()
    control.wait_for_interrupt()
    assert control.interrupted


@pytest.mark.parametrize("order", [("log", "prometheus"), ("prometheus", "log")])
def test_what_one_plugin_announces_another_can_report_in_any_order(capsys, order):
    run = runner(BATCHES, {name: plugin(name) for name in order}, log=True, listen="0")
    run.run()
    (url,) = run.control.urls
    assert url.startswith("http://127.0.0.1:")
    assert f"metrics at {url}" in capsys.readouterr().err.splitlines()[0]
