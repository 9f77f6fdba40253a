"""Finished pages: by format, by name, and through a message; prometheus_client's parsers decide."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ksmtrace.pipeline.exposition import EOF, exposition_of
from ksmtrace.serving.pages import Pages, accepts_gzip, only

LABELLED = GaugeMetricFamily("g_bytes", 'A "gauge".', labels=["a"])
for value in ("x{y} 1", "\n# HELP", 'q"', ""):
    LABELLED.add_metric([value], 2)
WRITTEN = exposition_of(
    LABELLED,
    CounterMetricFamily("c", "A counter.", 3),
    HistogramMetricFamily("h", "A histogram.", buckets=[("1", 1), ("+Inf", 2)], sum_value=4),
    GaugeMetricFamily("empty", "Nothing.", labels=["b"]),
    GaugeMetricFamily("g", "The last one.", 5),
)
PAGES = Pages(WRITTEN.text, WRITTEN.openmetrics + EOF)
NAMES = ("g_bytes", "c_total", "h_bucket", "h_sum", "h_count", "g", "c", "h", "empty", "x", "")


def samples(text, parse):
    return [s for family in parse(text.decode()) for s in family.samples]


@given(st.sets(st.sampled_from(NAMES)))
def test_only_the_samples_asked_for_are_kept(names):
    for page, parse in ((PAGES.text, parse_text), (PAGES.openmetrics, parse_openmetrics)):
        found = only(page, names)
        wanted = [s for s in samples(page, parse) if s.name in names]
        if not wanted:
            assert found == b""
        elif parse is parse_text or not names & {"h_sum", "h_count"}:
            assert samples(found, parse) == wanted


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("\xff\xfe", False),
        ("Application/OpenMetrics-Text", True),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1", True),
        ("application/openmetrics-text;q=0, text/plain", False),
        ("application/openmetrics-text;q=0.00", False),
    ],
)
def test_openmetrics_is_for_who_names_it(accept, openmetrics):
    page = PAGES.page(accept)
    assert page.type.startswith("application/openmetrics-text") == openmetrics
    assert page.body == (PAGES.openmetrics if openmetrics else PAGES.text)


def test_gzip_is_for_who_names_it():
    assert accepts_gzip("deflate, gzip;q=0.5")
    assert not accepts_gzip("gzip;q=0")
    assert not accepts_gzip("identity")
    assert gzip.decompress(PAGES.zipped(PAGES.page(""))) == PAGES.text


@given(st.binary(), st.binary())
def test_a_message_has_both(text, openmetrics):
    assert Pages.from_message(Pages(text, openmetrics).to_message()) == Pages(text, openmetrics)
