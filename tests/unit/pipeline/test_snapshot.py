"""The snapshot of a run: one publisher for each metric name; what plugins show, in their order."""

import re

import pytest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)

from ksmtrace import hookimpl
from ksmtrace.errors import ExitStatus, KsmtraceError
from ksmtrace.section import Section
from support.runs import EMPTY, runner
from support.streams import events


class Publisher:
    """A plugin with these metric families."""

    def __init__(self, *families):
        self._families = families

    @hookimpl
    def ksmtrace_metrics(self):
        yield from self._families


class Reader:
    """Asks for the metrics at each publish, as a sink does."""

    def __init__(self):
        self.names = []

    @hookimpl
    def ksmtrace_publish(self, snapshot):
        self.names.append([family.name for family in snapshot.metrics])


def gauge(name):
    return GaugeMetricFamily(name, "A gauge.", 1)


def counter(name):
    return CounterMetricFamily(name, "A counter.", 1)


def histogram(name):
    return HistogramMetricFamily(name, "A histogram.", buckets=[("+Inf", 1.0)], sum_value=1.0)


CLASHES = {
    "two gauges": (gauge("x"), gauge("x"), "x"),
    "a counter and a gauge": (counter("x"), gauge("x"), "x"),
    "a counter's sample": (counter("x"), gauge("x_total"), "x_total"),
    "a counter's sample, the other way round": (gauge("x_total"), counter("x"), "x_total"),
    "when a counter began": (counter("x"), gauge("x_created"), "x_created"),
    "a bucket": (histogram("x"), gauge("x_bucket"), "x_bucket"),
    "a count": (histogram("x"), gauge("x_count"), "x_count"),
    "a sum": (gauge("x_sum"), histogram("x"), "x_sum"),
    "two sums": (SummaryMetricFamily("x", "A summary.", 1, 1), gauge("x_sum"), "x_sum"),
    "a gauge histogram's sum": (
        GaugeHistogramMetricFamily("x", "A gauge histogram.", [("+Inf", 1.0)], 1.0),
        gauge("x_gsum"),
        "x_gsum",
    ),
    "a dot, which is written as an underscore": (gauge("x.y"), gauge("x_y"), "x_y"),
    "an info": (InfoMetricFamily("x", "An info.", {"a": "b"}), gauge("x_info"), "x_info"),
}  # fmt: skip


@pytest.mark.parametrize(("first", "second", "name"), CLASHES.values(), ids=CLASHES)
def test_a_name_by_two_plugins_ends_a_run_that_fails_fast(first, second, name):
    run = runner([events(*EMPTY)], {"one": Publisher(first), "two": Publisher(second)})
    with pytest.raises(KsmtraceError, match=rf"'two' publishes {name}, as plugin 'one'") as caught:
        _ = run.run().metrics
    assert caught.value.status == ExitStatus.BAD_INPUT
    assert "-p no:two" in str(caught.value)


def test_the_run_itself_is_a_publisher():
    for name in ("ksmtrace_passes_total", "ksmtrace_published_timestamp_seconds"):
        run = runner([events(*EMPTY)], {"one": Publisher(gauge(name))})
        with pytest.raises(KsmtraceError, match=f"'one' publishes {name}, as the run itself"):
            _ = run.run().metrics


def test_a_plugin_may_not_publish_a_name_twice():
    run = runner([events(*EMPTY)], {"one": Publisher(gauge("x"), gauge("y"), gauge("x"))})
    with pytest.raises(KsmtraceError, match="'one' publishes x twice"):
        _ = run.run().metrics


def test_live_leaves_the_later_family_out_and_names_it_once(capsys):
    reader = Reader()
    plugins = {
        "one": Publisher(gauge("x"), gauge("y")),
        "two": Publisher(gauge("x"), gauge("z")),
        "three": Publisher(counter("ksmtrace_passes"), gauge("u")),
        "reader": reader,
    }
    batches = [events(*EMPTY), events(*EMPTY)]
    run = runner(batches, plugins, fail_fast=False)
    document = run.run().document
    assert len(reader.names) == 3
    for names in reader.names:
        assert sorted(names[:4]) == ["u", "x", "y", "z"]
        assert names.count("ksmtrace_passes") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert re.search("'two' publishes x, as plugin 'one' does; going on without", lines[0])
    assert re.search("'three' publishes ksmtrace_passes, as the run itself does; going", lines[1])
    # the plugins go on, with all else that they give
    assert document["plugins_failed"] == {}


class Teller:
    """A plugin with sections and panels of these titles."""

    def __init__(self, *titles):
        self._titles = titles

    @hookimpl
    def ksmtrace_sections(self):
        return [Section(title, "A lead.") for title in self._titles]

    @hookimpl
    def ksmtrace_panels(self):
        yield from self._titles


def test_sections_and_panels_come_in_the_order_of_registration():
    plugins = {"b": Teller("b1", "b2"), "silent": Reader(), "a": Teller("a1"), "none": Teller()}
    snapshot = runner([events(*EMPTY)], plugins).run()
    order = [("b", "b1"), ("b", "b2"), ("a", "a1")]
    assert [(name, section.title) for name, section in snapshot.sections] == order
    assert list(snapshot.panels) == order


ODD = [
    ("analysis", [1], "document", "raised TypeError in"),
    ("conclude", 5, "document", "raised TypeError in"),
    ("metrics", 5, "metrics", "raised TypeError in"),
    ("metrics", [None], "metrics", "in"),
    ("panels", 5, "panels", "raised TypeError in"),
    ("sections", ["text"], "sections", "in"),
]


def returner(hook, result):
    """A plugin whose hook returns this."""

    def method(self):
        return result

    method.__name__ = f"ksmtrace_{hook}"
    return type("Returner", (), {method.__name__: hookimpl(method)})()


@pytest.mark.parametrize(("hook", "result", "asked", "how"), ODD)
def test_a_plugin_that_returns_something_else_is_named(capsys, hook, result, asked, how):
    run = runner([events(*EMPTY)], {"odd": returner(hook, result)})
    with pytest.raises(KsmtraceError, match=f"'odd' {how} ksmtrace_{hook}"):
        _ = getattr(run.run(), asked)
    plugins = {"odd": returner(hook, result), "one": Publisher(gauge("x"))}
    snapshot = runner([events(*EMPTY)], plugins, fail_fast=False).run()
    _ = getattr(snapshot, asked)
    assert "x" in [family.name for family in snapshot.metrics]
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("hook", ["analysis", "conclude", "metrics", "panels", "sections"])
def test_a_plugin_may_return_nothing(hook):
    snapshot = runner([events(*EMPTY)], {"none": returner(hook, None)}).run()
    assert snapshot.document["analyzers"].get("none", {}) == {}
    assert (snapshot.panels, snapshot.sections) == ((), ())
    assert snapshot.metrics
