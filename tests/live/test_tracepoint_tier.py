"""The tracepoint tier on this machine's kernel, against its gauges."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ksmtrace.events import Gauge
from ksmtrace.kernel.sysfs import read_counters
from ksmtrace.workload import demo
from support.command import wait_until_attached

pytestmark = pytest.mark.live

KSMTRACE = str(Path(sys.executable).parent / "ksmtrace")


def live(*arguments, during=None):
    """The JSON document of `ksmtrace live --once --json`; `during` runs once it has begun to
    trace."""
    command = [KSMTRACE, "live", "--once", "--json", "--probes", "tracepoint", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        wait_until_attached(run.pid)
        if during is not None:
            during()
        out, err = run.communicate(timeout=120)
    assert run.returncode == 0, err
    return json.loads(out)


def test_merges_equal_the_change_of_the_gauges(ksm, processes):
    """A workload that only merges: successes at the tracepoint = pages_shared + pages_sharing, to
    the page."""
    ksm.write("sleep_millisecs", 20)
    ksm.write("pages_to_scan", 2000)
    before = ksm.counter("pages_shared") + ksm.counter("pages_sharing")

    def during():
        for index, name in enumerate(("one", "two", "three")):
            processes.spawn(name)
            for region, pages, content in (
                ("equal", 700, "twin:1"),
                ("pairs", 400, "unique:7"),
                ("unique", 300, f"unique:{index + 10}"),
            ):
                processes.do(name, "map", region=region, pages=pages)
                processes.do(name, "fill", region=region, content=content)
                processes.do(name, "mergeable", region=region)
        ksm.write("run", 1)

    document = live("--duration", "15", during=during)
    counters, by_kind = document["counters"], document["events"]["by_kind"]
    changed = counters["pages_shared"] + counters["pages_sharing"] - before
    analysis = document["analyzers"]["stable_tree"]
    print(
        json.dumps({"appends": by_kind["STABLE_APPEND"], "gauges": changed, "analysis": analysis})
    )
    assert changed == 3 * 700 + 3 * 400
    assert by_kind["STABLE_APPEND"] == changed
    assert document["events"]["lost"] == 0
    for gauge in ("pages_shared", "pages_sharing"):
        assert document["reconciliation"][gauge]["difference"] == 0
    for gauge in ("pages_unshared", "pages_volatile"):
        assert document["reconciliation"][gauge]["reconstructed"] is None
        assert document["reconciliation"][gauge]["kernel"] == counters[gauge]
    assert document["probes"]["remove_rmap_item"]["exactness"] == "absent"


def test_the_difference_is_the_removals_that_are_not_seen(clean_ksm):
    """The demo rewrites pages after they have merged: no tracepoint fires, and the difference says
    how many."""
    ran = subprocess.run(
        [KSMTRACE, "demo", "--json", "--no-tui", "--interval", "20", "--duration", "20"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout.splitlines()[-1])
    rewritten = len(demo.NAMES) * demo.REWRITTEN_LATER
    rows = document["reconciliation"]
    print(json.dumps({"unseen": rewritten, "rows": rows}))
    apart = sum(rows[gauge]["difference"] for gauge in ("pages_shared", "pages_sharing"))
    assert apart == rewritten
    assert document["events"]["lost"] == 0


def test_nothing_is_left_behind(clean_ksm):
    """After the demo: run as before, no process, no BPF program, gauges at zero."""
    before = {
        name: (Path("/sys/kernel/mm/ksm") / name).read_text() for name in ("run", "sleep_millisecs")
    }
    ran = subprocess.run(
        [KSMTRACE, "demo", "--no-tui", "--duration", "4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for name, text in before.items():
        assert (Path("/sys/kernel/mm/ksm") / name).read_text() == text
    assert read_counters()[Gauge.PAGES_SHARED] == read_counters()[Gauge.PAGES_SHARING] == 0
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [command for command in commands if b"workload/worker.py" in command]
