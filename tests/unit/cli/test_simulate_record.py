"""`ksmtrace simulate -o`: the engine's run as a capture, through the pipeline that live uses."""

import json
from dataclasses import replace

import pytest

from ksmtrace.capture.reader import open_capture
from ksmtrace.cli import main
from ksmtrace.engine.engine import Engine
from ksmtrace.engine.variants import KERNELS, NEWEST, VARIANTS
from ksmtrace.pipeline.manager import build_manager
from ksmtrace.pipeline.options import RunOptions
from ksmtrace.pipeline.runner import Runner
from ksmtrace.sources.capture import CaptureSource
from ksmtrace.sources.engine import EngineSource
from support.command import assert_one_line, ksmtrace
from support.random_workloads import sample_workloads
from support.workload_steps import workload_toml

STEPS = (
    "spawn a", "map a r 12", "fill a r pages=10 content=byte:97", "mergeable a r", "scan 3",
    "poke a r first=0 pages=2 offset=0 value=1", "fork a child=b", "scan 2",
)  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(workload_toml(*STEPS))
    return path


@pytest.mark.parametrize("more", [(), ("--events",), ("-o", "c")])
def test_what_a_workload_comes_to_is_said_on_stderr(tmp_path, more):
    (tmp_path / "w.toml").write_text(workload_toml(*STEPS[:4], "exit a", "scan 5"))
    ran = ksmtrace("simulate", "w.toml", *more, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (
        0,
        "ksmtrace: step 5 (scan): ended after 0 of 5 passes: no process is registered any more\n",
    )
    assert ran.stdout


def test_replay_shows_the_run(tmp_path, file):
    plain = ksmtrace("simulate", file, "--json")
    ran = ksmtrace("simulate", file, "-o", tmp_path / "c", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout) == json.loads(plain.stdout)
    replayed = json.loads(ksmtrace("replay", tmp_path / "c", "--json").stdout)
    assert replayed["source"] == "capture"
    assert replayed["kernel"]["release"] == NEWEST
    assert replayed["passes"] == 5
    assert replayed["events"]["by_kind"]["COW_FAULT"] == 2
    last = json.loads(ran.stdout)["snapshots"][-1]["counters"]
    assert last.items() <= replayed["counters"].items()
    assert {row["difference"] for row in replayed["reconciliation"].values()} == {0}
    assert all(
        probe["via"].startswith("engine:") or not probe["via"]
        for probe in replayed["probes"].values()
    )


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name not in KERNELS])
def test_a_run_of_what_is_no_version_of_ksm_can_be_replayed(tmp_path, file, variant):
    """Some have no rmap_items, of no size."""
    ran = ksmtrace("simulate", file, "--variant", variant, "-o", tmp_path / "c")
    assert (ran.returncode, ran.stderr) == (0, "")
    ran = ksmtrace("replay", tmp_path / "c", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    replayed = json.loads(ran.stdout)
    assert replayed["kernel"]["release"] == variant
    assert replayed["passes"] == 5 or variant in ("pksm", "uksm")  # whose passes are others


def run(source, **options):
    return Runner(source, build_manager(), RunOptions(**options), fail_fast=True).run().document


@pytest.mark.parametrize("variant", KERNELS)
def test_the_analyzers_say_the_same_of_both(tmp_path, variant):
    absent = KERNELS[variant].absent_tunables
    for drawn in sample_workloads(3, number=7, without=absent):
        tunables = {name: value for name, value in drawn.tunables.items() if name not in absent}
        source = EngineSource(replace(drawn, tunables=tunables), variant=variant)
        ran = run(source, record=str(tmp_path / "c"))
        replayed = run(CaptureSource(tmp_path / "c", speed=None))
        assert (ran.pop("source"), replayed.pop("source")) == ("engine", "capture")
        assert replayed == ran
        with open_capture(tmp_path / "c") as capture:
            facts = capture.session
        assert (facts.kernel, facts.probes) == (source.session.kernel, source.session.probes)


def test_a_refused_tunable_leaves_what_was_recorded_readable(tmp_path):
    text = workload_toml(*STEPS) + '[[step]]\nop = "set"\ntunables = { max_page_sharing = 3 }\n'
    (tmp_path / "w.toml").write_text(text)
    ran = ksmtrace("simulate", tmp_path / "w.toml", "-o", tmp_path / "c")
    assert_one_line(ran, 1, "EBUSY")
    replayed = ksmtrace("replay", tmp_path / "c", "--json")
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert json.loads(replayed.stdout)["passes"] == 5


@pytest.mark.parametrize("variant", ["pksm", "zero-page", "uksm"])
def test_relatives_of_ksm_are_recorded_and_replayed(tmp_path, file, variant):
    ran = ksmtrace("simulate", file, "-o", tmp_path / "c", "--variant", variant, "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    last = json.loads(ran.stdout)["snapshots"][-1]["counters"]
    replayed = json.loads(ksmtrace("replay", tmp_path / "c", "--json").stdout)
    assert replayed["kernel"]["release"] == variant
    assert replayed["passes"] > 0
    if variant == "zero-page":
        assert replayed["passes"] == last["full_scans"]
    shown = {name: value for name, value in last.items() if value is not None}
    if variant == "pksm":  # a capture has the meaning that KSM's counters have
        shown = {name: shown[name] for name in ("pages_unshared", "ksm_zero_pages")}
    assert shown.items() <= replayed["counters"].items()
    assert {row["difference"] for row in replayed["reconciliation"].values()} <= {0, None}
    assert_one_line(ksmtrace("replay", tmp_path / "c", "--engine"), 2, variant, "ksmd")
    assert_one_line(ksmtrace("whatif", tmp_path / "c"), 2, variant)


def test_not_on_a_kernel(tmp_path, file):
    ran = ksmtrace("simulate", file, "--on-kernel", "-o", tmp_path / "c")
    assert_one_line(ran, 2, "-o", "record")
    assert not (tmp_path / "c").exists()


def test_the_capture_cannot_be_written(tmp_path, file):
    assert_one_line(ksmtrace("simulate", file, "-o", tmp_path / "none" / "c"), 2, "none")
    assert_one_line(ksmtrace("simulate", file, "-o", file), 2, "not a ksmtrace capture")


@pytest.mark.parametrize("record", [False, True])
def test_without_comparisons_the_run_is_the_same(tmp_path, file, monkeypatch, capsys, record):
    built = []

    class Noted(Engine):
        def __init__(self, *positional, **named):
            super().__init__(*positional, **named)
            built.append(self)

    monkeypatch.setattr("ksmtrace.workload.on_engine.Engine", Noted)
    outputs, captures = [], []
    for more in ((), ("--no-comparisons",)):
        path = tmp_path / f"c{len(more)}"
        options = ("-o", str(path)) if record else ()
        assert main(["simulate", str(file), "--json", *options, *more]) == 0
        outputs.append(capsys.readouterr().out)
        if record:
            with open_capture(path) as capture:
                captures.append([batch.events.tobytes() for batch in capture.batches()])
    assert outputs[0] == outputs[1]
    assert captures[:1] == captures[1:]
    counted, uncounted = (engine.scanner.comparisons for engine in built)
    assert (counted > 0, uncounted) == (True, None)
