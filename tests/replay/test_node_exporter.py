"""A real node_exporter passes on ksmtrace's text file unchanged, and shares no metric name with
it."""

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import cannot
from support.command import ksmtrace
from support.exposition import samples
from support.prometheus import fetch, free_port, running, until

NODE_EXPORTER = "prometheus-node-exporter"


def names(text):
    """Names of families, and of the samples in them: both take a name away from others."""
    families = list(text_string_to_metric_families(text))
    return {f.name for f in families} | {s.name for f in families for s in f.samples}


def with_bounds(found):
    """Bounds of buckets as numbers: node_exporter writes 4096 for our 4096.0."""
    return {
        (name, *(("le", float(label[1])) if label[0] == "le" else label for label in labels)): value
        for (name, *labels), value in found.items()
    }


@pytest.fixture
def served(request):
    """What node_exporter serves, given the directory of its textfile collector."""
    if shutil.which(NODE_EXPORTER) is None:
        cannot(
            request,
            "--require-live",
            "needs Debian's prometheus-node-exporter (make test installs it)",
        )

    def serve(directory):
        port = free_port()
        command = [NODE_EXPORTER, "--collector.disable-defaults", "--collector.ksmd"]
        command += ["--collector.textfile", f"--collector.textfile.directory={directory}"]
        with running(*command, f"--web.listen-address=127.0.0.1:{port}"):
            return until(lambda: fetch(f"http://127.0.0.1:{port}/metrics"))

    return serve


def test_node_exporter_passes_the_text_file_on(served, bundled_capture, tmp_path):
    empty, directory = tmp_path / "empty", tmp_path / "textfile"
    empty.mkdir()
    directory.mkdir()
    ran = ksmtrace("replay", bundled_capture, "--no-tui", "--textfile", directory)
    assert ran.returncode == 0
    written = (directory / "ksmtrace.prom").read_text()
    alone, both = served(empty), served(directory)
    assert 'node_scrape_collector_success{collector="ksmd"}' in alone
    assert 'node_scrape_collector_success{collector="textfile"} 1' in both
    assert "node_textfile_scrape_error 0" in both
    assert "node_textfile_mtime_seconds" in both
    own, passed = with_bounds(samples(written)), with_bounds(samples(both))
    assert len(own) > 100
    assert {key: passed.get(key) for key in own} == own
    assert not names(written) & names(alone)
    assert names(written) <= names(both)


def test_no_name_of_any_collector_is_ours(bundled_capture, tmp_path, request):
    """With every collector that it has by default."""
    if shutil.which(NODE_EXPORTER) is None:
        cannot(
            request,
            "--require-live",
            "needs Debian's prometheus-node-exporter (make test installs it)",
        )
    ran = ksmtrace("replay", bundled_capture, "--no-tui", "--textfile", tmp_path)
    assert ran.returncode == 0
    port = free_port()
    with running(NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{port}"):
        text = until(lambda: fetch(f"http://127.0.0.1:{port}/metrics"))
    theirs = names(text)
    assert len(theirs) > 100
    assert not theirs & names((tmp_path / "ksmtrace.prom").read_text())
    assert not [name for name in theirs if name.startswith("ksmtrace")]


def test_promtool_has_nothing_to_say_of_the_text_file(request, bundled_capture, tmp_path):
    if shutil.which("promtool") is None:
        cannot(request, "--require-live", "needs promtool (make test installs prometheus)")
    assert ksmtrace("replay", bundled_capture, "--no-tui", "--textfile", tmp_path).returncode == 0
    with (tmp_path / "ksmtrace.prom").open() as text:
        ran = subprocess.run(
            ["promtool", "check", "metrics"],
            stdin=text, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")
