"""The prometheus sink: a real server on a free port, and the text file."""

import os
import re
import resource
import socket
import threading
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ksmtrace import hookimpl
from ksmtrace.errors import KsmtraceError
from ksmtrace.pipeline.metric_names import PUBLISHED
from ksmtrace.serving.listen import parse_listen
from support.prometheus import until
from support.runs import plugin, runner
from support.story import story
from support.streams import events


class Before:
    """Notes when a publish began."""

    @hookimpl(tryfirst=True)
    def ksmtrace_publish(self, snapshot):
        self.began = time.time()


class After:
    """Calls back at each publish, once another process serves what was published."""

    def __init__(self, sink, look):
        self._sink, self._look = sink, look
        self.before = Before()

    @hookimpl(trylast=True)
    def ksmtrace_publish(self, snapshot):
        if self._sink.port is not None:
            until(lambda: stamp(_get(self._sink)[2]) >= self.before.began)
        self._look(self._sink)


def stamp(text):
    return next(f.samples[0].value for f in parse_text(text) if f.name == PUBLISHED)


def _run(look, *, listen="127.0.0.1:0", rows=None, textfile=None, **others):
    sink = plugin("prometheus")
    after = After(sink, look)
    plugins = {"before": after.before, "after": after, "prometheus": sink, **others}
    plugins |= {name: plugin(name) for name in ("stable_tree", "unstable_tree", "volatile")}
    run = runner([events(*(rows or story()))], plugins, listen=listen, textfile=textfile)
    run.run()
    return sink


def _get(sink, path="/metrics", method="GET", **headers):
    url = sink._endpoint.url.removesuffix("/metrics") + path
    request = Request(url, headers=headers, method=method)
    with urlopen(request, timeout=10) as response:
        return response.status, response.headers["Content-Type"], response.read().decode()


def _error(sink, path="/metrics", method="GET"):
    """The status, the headers and the text of an answer that is no success."""
    with pytest.raises(HTTPError) as error:
        _get(sink, path, method)
    with error.value as response:
        return response.code, response.headers, response.read().decode()


def test_metrics_are_scraped_over_http():
    found = {}

    def look(sink):
        _, kind, text = _get(sink)
        assert kind.startswith("text/plain; version=0.0.4")
        found.update({f.name: f for f in parse_text(text)})

    _run(look)
    assert found["ksmtrace_sharing_pages"].samples[0].value == 80
    merged = found["ksmtrace_merged_pages"].samples[0]
    assert (merged.name, merged.value) == ("ksmtrace_merged_pages_total", 121)
    assert found["ksmtrace_lost_events"].documentation


def test_openmetrics_is_served_to_who_asks_for_it():
    found = {}

    def look(sink):
        _, kind, text = _get(sink, Accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert text.endswith("\n# EOF\n")
        found.update({f.name: f for f in parse_openmetrics(text)})

    _run(look)
    assert found["ksmtrace_stable_node_sharers"].type == "gaugehistogram"
    assert found["ksmtrace_kernel"].type == "info"


def test_when_figures_were_made_is_a_metric():
    stamps = []

    def look(sink):
        stamps.append(stamp(_get(sink)[2]))
        assert before <= stamps[-1] <= time.time()

    before = time.time()
    _run(look)
    assert stamps == sorted(set(stamps))


def test_before_the_first_publish_there_is_no_page():
    sink = plugin("prometheus")
    seen = []

    class Early:
        @hookimpl(trylast=True)
        def ksmtrace_batch(self):
            seen.append(_error(sink))
            seen.append(_get(sink, "/-/healthy"))

    runner([events(*story()[:4])], {"prometheus": sink, "early": Early()}, listen="0").run()
    code, headers, text = seen[0]
    assert (code, headers["Retry-After"]) == (503, "1")
    assert "--interval" in text
    assert seen[1][0] == 200


def test_the_process_itself_is_measured_for_who_scrapes(tmp_path):
    def look(sink):
        _, _, text = _get(sink)
        found.update({f.name: f.samples[0].value for f in parse_text(text) if f.samples})
        assert "\nprocess_" not in (tmp_path / "ksmtrace.prom").read_text()

    found = {}
    _run(look, textfile=str(tmp_path))
    descriptors = len(os.listdir("/proc/self/fd"))
    assert abs(found["process_open_fds"] - descriptors) < 20
    assert found["process_max_fds"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 0 < found["process_resident_memory_bytes"] < found["process_virtual_memory_bytes"]
    assert found["process_cpu_seconds"] > 0


def test_the_landing_page_leads_to_what_there_is():
    def look(sink):
        _, kind, text = _get(sink, "/")
        assert kind == "text/html; charset=utf-8"
        links = re.findall(r'href="([^"]*)"', text)
        assert links == ["/metrics", "/-/healthy"]
        assert {_get(sink, link)[0] for link in links} == {200}

    _run(look)


def test_health_and_unknown_paths():
    def look(sink):
        assert _get(sink, "/-/healthy")[0] == 200
        code, _, text = _error(sink, "/nothing")
        assert (code, "/metrics" in text) == (404, True)

    _run(look)


def test_names_that_are_asked_for_are_served_alone_and_unknown_ones_are_told():
    def look(sink):
        _, _, text = _get(sink, "/metrics?name[]=ksmtrace_merged_pages_total&name[]=ksmtrace_x")
        (family,) = parse_text(text)
        assert [(s.name, s.value) for s in family.samples] == [("ksmtrace_merged_pages_total", 121)]
        code, _, text = _error(sink, "/metrics?name[]=ksmtrace_x")
        assert (code, "ksmtrace_x" in text) == (404, True)

    _run(look)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading_is_answered(method):
    def look(sink):
        code, headers, _ = _error(sink, method=method)
        assert (code, headers["Allow"]) == (405, "GET, HEAD")

    _run(look)


def test_only_headers_answer_to_head():
    def look(sink):
        status, kind, text = _get(sink, method="HEAD")
        assert (status, kind.split(";")[0], text) == (200, "text/plain", "")

    _run(look)


def test_a_metric_that_cannot_be_written_is_put_down_to_its_plugin():
    from prometheus_client.core import GaugeMetricFamily

    class Bad:
        @hookimpl
        def ksmtrace_metrics(self):
            family = GaugeMetricFamily("bad_pages", "Bad.")
            family.add_metric([], "no number")
            yield family

    with pytest.raises(KsmtraceError, match="'bad' publishes 'bad_pages', which cannot be written"):
        _run(lambda sink: None, bad=Bad())


def test_everything_is_closed_at_the_end():
    before = threading.active_count()
    ports = []
    sink = _run(lambda sink: ports.append(sink.port))
    assert sink.port is None
    assert threading.active_count() == before
    socket.create_server(("127.0.0.1", ports[0])).close()


def test_only_the_loopback_is_served_unless_asked():
    def look(sink):
        assert sink._endpoint.address[0] == "127.0.0.1"

    for listen in (":0", "0"):
        _run(look, listen=listen)


def test_ipv6_is_served():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback here")

    def look(sink):
        with socket.create_connection(("::1", sink.port), timeout=10) as connection:
            connection.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
            assert b"200 OK" in connection.recv(4096)

    _run(look, listen="[::1]:0")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("127.0.0.1:9477", ("127.0.0.1", 9477)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        (":9477", ("127.0.0.1", 9477)),
        ("9477", ("127.0.0.1", 9477)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_addresses_are_read(text, where):
    assert parse_listen(text) == where


@pytest.mark.parametrize(
    "text",
    ["", ":", "host", "host:", "host:x", "::1:9477", "h:65536", "h:-1", "[h]:1", "h:1²", "[::1]"],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(KsmtraceError, match="ADDR:PORT") as error:
        parse_listen(text)
    assert error.value.status == 2


def _refused(**options):
    sink = plugin("prometheus")
    with pytest.raises(KsmtraceError) as error:
        runner([], {"prometheus": sink}, **options).run()
    assert error.value.status == 2
    assert "\n" not in str(error.value)
    assert sink.port is None
    return str(error.value)


def test_a_port_that_is_taken_is_refused_with_the_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        refusal = _refused(listen=where)
    assert where in refusal
    assert "in use" in refusal
    assert "--listen" in refusal


@pytest.mark.parametrize("host", ["192.0.2.1", "x" * 300])
def test_an_address_of_another_host_is_refused(host):
    assert "--listen" in _refused(listen=f"{host}:0")


def test_the_text_file_holds_the_metrics_and_nothing_else_is_left(tmp_path):
    _run(lambda sink: None, listen=None, textfile=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["ksmtrace.prom"]
    found = {f.name: f for f in parse_text((tmp_path / "ksmtrace.prom").read_text())}
    assert found["ksmtrace_sharing_pages"].samples[0].value == 80


def test_the_text_file_is_replaced_at_once(tmp_path):
    path = tmp_path / "ksmtrace.prom"
    path.write_text("what was there before\n")
    with path.open() as before:  # so that nobody else gets its inode
        _run(lambda sink: None, listen=None, textfile=tmp_path)
        assert "what was there before" not in path.read_text()
        assert path.stat().st_ino != os.fstat(before.fileno()).st_ino


def test_node_exporter_may_read_the_text_file_whatever_the_mask(tmp_path):
    before = os.umask(0o077)
    try:
        _run(lambda sink: None, listen=None, textfile=tmp_path)
    finally:
        kept = os.umask(before)
    assert kept == 0o077
    assert (tmp_path / "ksmtrace.prom").stat().st_mode & 0o777 == 0o644


def test_a_directory_that_cannot_be_written_is_refused_at_the_start(tmp_path):
    refusal = _refused(textfile=str(tmp_path / "none"))
    assert "none/ksmtrace.prom" in refusal
    assert "--textfile" in refusal


def test_a_directory_that_goes_away_ends_the_run_and_closes_the_port(tmp_path):
    directory = tmp_path / "d"
    directory.mkdir()

    def vanish(sink):
        for path in Path(directory).iterdir():
            path.unlink()
        directory.rmdir()

    sink = plugin("prometheus")

    class Vanish:
        @hookimpl
        def ksmtrace_batch(self):
            vanish(sink)

    run = runner(
        [events(*story()[:4])],
        {"prometheus": sink, "vanish": Vanish()},
        textfile=directory,
        listen="0",
    )
    with pytest.raises(KsmtraceError, match="--textfile"):
        run.run()
    assert sink.port is None


def test_without_options_nothing_is_opened_or_built():
    sink = plugin("prometheus")

    class Watch:
        @hookimpl
        def ksmtrace_metrics(self):
            raise AssertionError("metrics were built for nobody")

    runner([events(*story()[:4])], {"prometheus": sink, "watch": Watch()}).run()
    assert sink.port is None
