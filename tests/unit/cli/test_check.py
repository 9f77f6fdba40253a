"""`--check`: the line and the statuses of monitoring plugins, whatever happens."""

import json
import math
import re
import signal
import subprocess
import time

import nagiosplugin
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksmtrace.cli import main
from ksmtrace.cli.check import Check, PluginStatus
from ksmtrace.cli.thresholds import METRICS, Range, Threshold, threshold
from ksmtrace.model.verdict import Answer
from support.command import KSMTRACE, ksmtrace

LINE = re.compile(
    r"KSM (OK|WARNING|CRITICAL|UNKNOWN) - [^|\n]+"
    r"( \| (\w+=(U|-?[0-9.]+(B|%)?)(;[-0-9.:~@]*){0,4} ?)+)?\n"
)
"""As the guidelines have it: text, a bar, label=value[unit];warning;critical;lowest;highest."""

BOUNDS = st.one_of(st.just(""), st.integers(-50, 50).map(str))
RANGES = st.tuples(st.sampled_from(["", "@"]), st.one_of(BOUNDS, st.just("~")), BOUNDS)


@given(RANGES, st.integers(-60, 60), st.booleans())
def test_ranges_are_those_of_monitoring_plugins(parts, value, short):
    """nagiosplugin knows them too."""
    prefix, start, end = parts
    text = f"{prefix}{end}" if short else f"{prefix}{start}:{end}"
    try:
        theirs = nagiosplugin.Range(text)
        refused = short and not end
    except ValueError:
        refused = True
    if refused:
        with pytest.raises(ValueError):  # noqa: PT011 - the text is the caller's
            Range.parse(text, float)
        return
    ours = Range.parse(text, float)
    assert ours.alerts(value) is not theirs.match(value)
    again = nagiosplugin.Range(ours.text(lambda bound: f"{bound:g}"))
    assert again.match(value) is theirs.match(value)


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        ("saved=100MiB:", 100 << 20, math.inf),
        ("saved=1.5G", 0, 3 << 29),
        ("net=-1k:2T", -1024, 2 << 40),
        ("net=~:4096", -math.inf, 4096),
        ("saved=12B", 0, 12),
        ("ksmd=20%", 0, 20),
        ("ksmd=2.5:20%", 2.5, 20),
        ("lost=0", 0, 0),
    ],
)
def test_bounds_have_the_units_of_their_metric(given, start, end):
    found = threshold(given)
    assert (found.range.start, found.range.end) == (start, end)


@pytest.mark.parametrize(
    "given",
    [
        *("", "saved", "saved=", "saved=x", "saved=2:1", "saved=1X", "lost=1%", "ksmd=1G"),
        *("lost=@", "speed=1:", "=1:", "saved=1:2:3", "saved=nan", "saved=1e3", "saved=@~"),
    ],
)
def test_what_is_no_threshold_is_unknown_in_one_line(given, bundled_capture, capsys):
    assert main(["replay", str(bundled_capture), "--check", "-w", given]) == PluginStatus.UNKNOWN
    said = capsys.readouterr()
    assert LINE.fullmatch(said.out)
    assert said.out.startswith("KSM UNKNOWN - argument -w/--warning: ")
    assert said.err == ""


def document(verdict="worth it", **figures):
    figures = {"saved": 2 << 30, "net": 1 << 30, "ksmd": 0.02, "lost": 0, **figures}
    return {
        "events": {"lost": figures["lost"]},
        "analyzers": {
            "balance": {
                "verdict": verdict,
                "verdict_reasons": ["why | so"],
                "ksmd_cores": figures["ksmd"],
                "total": {"saved_bytes": figures["saved"], "net_saved_bytes": figures["net"]},
            }
        },
        "plugins_failed": {},
    }


def check(warning=(), critical=()):
    return Check(
        *({one.metric: one for one in map(threshold, some)} for some in (warning, critical))
    )


@pytest.mark.parametrize(
    ("verdict", "status", "with_thresholds"),
    [
        (Answer.WORTH_IT, 0, 0),
        (Answer.TOO_LITTLE, 0, 0),
        (Answer.NOTHING, 0, 0),
        (Answer.OFF, 0, 0),
        (Answer.COSTS_MORE, 1, 1),
        (Answer.NOT_SETTLED, 3, 0),
        (Answer.NOT_KNOWN, 3, 0),
    ],
)
def test_status_by_verdict(verdict, status, with_thresholds):
    line, found = check().line_and_status(document(verdict))
    assert found == status
    assert f" - {verdict}: why / so | " in line
    assert check(["saved=1G:"]).line_and_status(document(verdict))[1] == with_thresholds


@pytest.mark.parametrize(
    ("warning", "critical", "figures", "status", "words"),
    [
        (["saved=3GiB:"], [], {}, 1, "saved 2.0 GiB is below 3.0 GiB;"),
        (["saved=3GiB:"], ["saved=2500M:"], {}, 2, "saved 2.0 GiB is below 2.4 GiB;"),
        (["ksmd=1"], ["net=2G:"], {}, 2, "net 1.0 GiB is below 2.0 GiB; ksmd 2% is above 1%;"),
        (["net=@0:2G"], [], {}, 1, "net 1.0 GiB is from 0 B to 2.0 GiB;"),
        (["net=@2G:"], [], {"net": 3 << 30}, 1, "net 3.0 GiB is not below 2.0 GiB;"),
        (["net=@~:0"], [], {"net": -1}, 1, "net -1 B is not above 0 B;"),
        (["net=@~:"], [], {}, 1, "net 1.0 GiB is what it may not be, whatever it is;"),
        (["lost=0"], [], {"lost": 7}, 1, "lost 7 is above 0;"),
        (["saved=3G:", "net=0:"], [], {"net": None}, 1, "net is not known;"),
        (["net=0:"], [], {"net": None}, 3, "net is not known;"),
        (["net=0:"], ["net=0:"], {"net": -1}, 2, "net -1 B is below 0 B;"),
        ([], [], {"net": None}, 0, "worth it"),
    ],
)
def test_status_by_thresholds(warning, critical, figures, status, words):
    """What is not known is never taken for 0, and the worst status wins, UNKNOWN the mildest."""
    line, found = check(warning, critical).line_and_status(document(**figures))
    assert found == status
    assert words in line
    assert LINE.fullmatch(f"{line}\n")


def test_performance_data_has_values_units_and_thresholds():
    line, _ = check(["saved=100MiB:", "ksmd=@20:30%"], ["net=~:0"]).line_and_status(
        document(lost=None, ksmd=0.255)
    )
    assert line.partition(" | ")[2] == (
        "saved=2147483648B;104857600:;;0 net=1073741824B;;~:0 ksmd=25.5%;@20:30;;0;100 lost=U;;;0"
    )


def test_a_plugin_that_failed_is_unknown():
    failed = document() | {"plugins_failed": {"cow": "boom"}}
    line, status = check().line_and_status(failed)
    assert (line, status) == ("KSM UNKNOWN - plugin cow failed: boom", PluginStatus.UNKNOWN)


def test_a_replay_is_checked(bundled_capture, capsys):
    """The figures are those of the JSON document."""
    assert main(["replay", str(bundled_capture), "--json"]) == 0
    truth = json.loads(capsys.readouterr().out)
    status = main(
        ["replay", str(bundled_capture), "--check", "-w", "saved=1G:", "--critical", "lost=0"]
    )
    said = capsys.readouterr()
    assert said.err == ""
    assert LINE.fullmatch(said.out)
    balance = truth["analyzers"]["balance"]
    assert status == PluginStatus.WARNING
    assert f"saved={balance['total']['saved_bytes']}B;1073741824:;;0 " in said.out
    assert f" net={balance['total']['net_saved_bytes']}B " in said.out
    assert f" lost={truth['events']['lost']};;0;0\n" in said.out
    assert f"; {balance['verdict']}: " in said.out
    assert main(["replay", str(bundled_capture), "--format", "check"]) == PluginStatus.WARNING
    assert capsys.readouterr().out.startswith("KSM WARNING - costs more")


@pytest.mark.parametrize(
    "line",
    [
        *("replay none --check", "replay --check", "replay C --check --spede 3", "live --check x"),
        *("replay C --check --json", "replay C --check --engine", "live --check --log"),
        *("replay C --format=check --listen 0", "report C --check", "live --check --pid 4194303"),
        *(
            "replay C --check -w saved=1 -w saved=2",
            "replay none --chec",
            "replay none --form check",
        ),
        *("replay none --format=check", "replay --format check none"),
    ],
)
def test_what_goes_wrong_is_unknown(line, bundled_capture, capsys):
    words = [str(bundled_capture) if word == "C" else word for word in line.split()]
    assert main(words) == PluginStatus.UNKNOWN
    said = capsys.readouterr()
    assert said.out.startswith("KSM UNKNOWN - ")
    assert LINE.fullmatch(said.out)
    assert said.err == ""


def test_an_interrupted_check_is_unknown(bundled_capture):
    command = [KSMTRACE, "replay", str(bundled_capture), "--check", "--speed", "real"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        time.sleep(3)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=60)
    assert running.returncode == PluginStatus.UNKNOWN
    assert said == "KSM UNKNOWN - interrupted before the end\n"


@pytest.mark.parametrize("verb", ["replay", "report", "doctor", "plugins"])
def test_formats_are_named_either_way(verb, bundled_capture):
    file = [bundled_capture] if verb in ("replay", "report") else []
    named = ksmtrace(verb, *file, "--format", "json")
    assert json.loads(named.stdout) == json.loads(ksmtrace(verb, *file, "--json").stdout)
    assert ksmtrace(verb, *file, "--format", "text").stdout == ksmtrace(verb, *file).stdout


def test_every_metric_has_an_example_that_is_a_range():
    for name, metric in METRICS.items():
        assert isinstance(threshold(f"{name}={metric.example}"), Threshold)
