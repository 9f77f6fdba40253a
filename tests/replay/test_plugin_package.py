"""A plugin of another package, once installed, has its part in every output."""

import json
import os

import pytest

from support.command import KSMTRACE, assert_one_line, ksmtrace
from support.exposition import samples
from support.packages import built
from support.terminal import OnTerminal


@pytest.fixture(scope="module")
def environment(repository, tmp_path_factory):
    """The environment of a machine on which the package is installed."""
    site = built(repository / "tests/plugin_package", tmp_path_factory.mktemp("other"))
    return {**os.environ, "PYTHONPATH": str(site)}


def test_it_is_listed(environment):
    listed = json.loads(ksmtrace("plugins", "--json", env=environment).stdout)["plugins"]
    (found,) = (plugin for plugin in listed if plugin["name"] == "hottest")
    assert found["origin"] == "ksmtrace-hottest 1.2"


def test_its_json_and_its_metric_agree(bundled_capture, environment, tmp_path):
    ran = ksmtrace("replay", bundled_capture, "--json", "--textfile", tmp_path, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    analyzers = json.loads(ran.stdout)["analyzers"]
    assert analyzers["hottest"]["attempts"] == analyzers["stable_tree"]["attempted_pages"] > 0
    metrics = samples((tmp_path / "ksmtrace.prom").read_text())
    (value,) = (v for key, v in metrics.items() if "ksmtrace_hottest_attempts" in str(key))
    assert value == analyzers["hottest"]["hottest_attempts"]


def test_its_section_is_in_the_text_and_on_the_page(bundled_capture, environment, tmp_path):
    text = ksmtrace("report", bundled_capture, env=environment).stdout
    assert "The hottest address was tried " in text
    assert "Attempts by address" in text
    page = tmp_path / "report.html"
    ran = ksmtrace("report", bundled_capture, "-o", page, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert '<p class="lead">The hottest address was tried ' in page.read_text()
    assert page.read_text().count("<figcaption>Attempts by address</figcaption>") == 1


def test_its_lead_and_its_view_are_on_the_screen(bundled_capture, environment):
    command = [KSMTRACE, "replay", str(bundled_capture), "--hold"]
    with OnTerminal(command, columns=120, lines=40, env=environment) as run:
        shown = run.wait_for("Hottest addresses  The hottest address was tried")
        (line,) = (line for line in shown if "Hottest addresses" in line)
        run.press(line[0])
        run.wait_for("Attempts by address", without="KSM pages and their sharers")
        run.press("q")
        status, drawn, _ = run.end()
    assert status == 0
    assert "hottest address: " in drawn.rpartition("\x1b[?1049l")[2]  # its panel, in the outcome


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("ksmtrace_saved_bytes", "plugin 'stable_tree' does"),
        ("ksmtrace_cow_fault_seconds_count", "plugin 'cow' does"),
        ("ksmtrace_lost_events_total", "the run itself does"),
    ],
)
def test_a_metric_with_another_publishers_name_ends_a_replay(
    bundled_capture, environment, tmp_path, name, other
):
    taken = {**environment, "HOTTEST_METRIC": name}
    ran = ksmtrace("replay", bundled_capture, "--json", "--textfile", tmp_path, env=taken)
    assert_one_line(ran, 2, f"'hottest' publishes {name}, as {other}", "-p no:hottest")


def test_it_can_be_left_out(bundled_capture, environment):
    ran = ksmtrace("report", bundled_capture, "-p", "no:hottest", env=environment)
    assert ran.returncode == 0
    assert "hottest" not in ran.stdout


def test_what_it_prints_is_not_among_the_answers(bundled_capture, environment):
    """As it is imported, and in a hook."""
    loud = {**environment, "HOTTEST_PRINTS": "1"}
    ran = ksmtrace("replay", bundled_capture, "--json", env=loud)
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["analyzers"]["hottest"]["attempts"] > 0
    first, *others = ran.stderr.splitlines()
    assert first == "ksmtrace: plugin 'hottest' prints: imported ?[2J"
    assert set(others[:-1]) == {"ksmtrace: plugin 'hottest' prints: a batch"}
    assert others[-1] == "ksmtrace: plugin 'hottest' prints more, which is left out"


@pytest.mark.parametrize("when", ["import", "batch"])
def test_it_cannot_end_the_program(bundled_capture, environment, when):
    leaving = {**environment, "HOTTEST_EXITS": when}
    ran = ksmtrace("replay", bundled_capture, "--json", env=leaving)
    assert_one_line(ran, 2, "plugin 'hottest' ", "SystemExit", "-p no:hottest")


STRANGE = {
    "a child that goes on": "os.fork()",
    "bytes to descriptor 1": 'os.write(1, b"junk")',
    "a child that prints": 'os.system("echo junk")',
    "descriptor 1 closed": "os.close(1)",
    "stdout closed": "sys.stdout.close()",
    "the first stdout": 'print("junk", file=sys.__stdout__, flush=True)',
    "signals ignored": "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "a thread that stays": "threading.Thread(target=time.sleep, args=(3600,)).start()",
}
ENDING = {
    "os._exit": "os._exit(0)",
    "an exception without words": "raise Wordless",
    "too many values": "return {str(i): i for i in range(1_000_001)}",
}
PLUGIN = """
import os, signal, sys, threading, time
from ksmtrace import hookimpl

class Wordless(Exception):
    def __str__(self):
        raise ValueError

class Plugin:
    @hookimpl
    def ksmtrace_analysis(self):
        {does}
        return {{"told": 1}}
"""


def with_plugin(site, does):
    """The environment in which a plugin does so in its analysis."""
    facts = site / "strange-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[ksmtrace.plugins]\nstrange = strange:Plugin\n")
    (site / "strange.py").write_text(PLUGIN.format(does=does))
    return {**os.environ, "PYTHONPATH": str(site)}


@pytest.mark.parametrize("does", STRANGE.values(), ids=STRANGE)
def test_what_it_does_to_the_process_leaves_the_answers_whole(bundled_capture, tmp_path, does):
    ran = ksmtrace("replay", bundled_capture, "--json", env=with_plugin(tmp_path, does))
    assert "Traceback" not in ran.stderr
    assert ran.returncode == 0
    assert json.loads(ran.stdout)["analyzers"]["strange"] == {"told": 1}


@pytest.mark.parametrize("does", ENDING.values(), ids=ENDING)
def test_what_would_end_the_program_is_one_line_with_its_name(bundled_capture, tmp_path, does):
    ran = ksmtrace("replay", bundled_capture, "--json", env=with_plugin(tmp_path, does))
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "'strange'" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "AssertionError" not in ran.stderr
