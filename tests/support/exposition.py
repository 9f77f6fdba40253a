"""Prometheus samples as a dictionary, without those that differ between runs over one stream."""

from prometheus_client.parser import text_string_to_metric_families

OF_THE_RUN = {
    "ksmtrace_build_info",
    "ksmtrace_plugin_seconds_total",
    "ksmtrace_published_timestamp_seconds",
    "ksmtrace_serving_restarts_total",
}
"""Which program it was, when it ran and how long that took: not facts of the stream."""


def samples(text: str) -> dict[tuple, float]:
    """(name, labels) -> value."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name not in OF_THE_RUN
    }
