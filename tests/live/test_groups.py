"""Groups of a live run: a real cgroup, against the kernel's own counters of merged pages."""

import json
import subprocess
import time

import pytest

from support.cgroups import memory_root
from support.command import KSMTRACE, wait_until_attached

pytestmark = pytest.mark.live

NAMES = ("one", "two")


@pytest.fixture
def cgroup(request):
    """A cgroup that memory is charged to, called after a unit; gone afterwards."""
    root = memory_root(request)
    made = root / "ksmtrace-test.slice" / "ksmtrace-test.service"
    made.mkdir(parents=True)
    yield made
    made.rmdir()
    made.parent.rmdir()


def until(what):
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_what_merges_in_a_cgroup_is_put_down_to_it(cgroup, ksm, processes):
    ksm.write("sleep_millisecs", 20)
    ksm.write("pages_to_scan", 2000)
    command = [KSMTRACE, "live", "--once", "--json", "--duration", "20", "--interval", "0.2"]

    def merge(region, pages, content):
        before = ksm.counter("pages_sharing")
        for name in NAMES:
            processes.do(name, "map", region=region, pages=pages)
            processes.do(name, "fill", region=region, content=content)
            processes.do(name, "mergeable", region=region)
        until(lambda: ksm.counter("pages_sharing") - before == pages)

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        wait_until_attached(run.pid)
        for name in NAMES:
            processes.spawn(name)
            (cgroup / "cgroup.procs").write_text(str(processes.pids[name]))
        ksm.write("run", 1)
        merge("met", 20, "unique:1")
        time.sleep(2)  # readings at which the group is given series
        merge("counted", 300, "unique:500")
        saved_bytes = ksm.counter("pages_sharing") * 4096
        document = json.loads(run.stdout.read())["analyzers"]["groups"]
    (group,) = (one for one in document["groups"] if one["unit"] == "ksmtrace-test.service")
    assert group["cgroup"] == "/ksmtrace-test.slice/ksmtrace-test.service"
    assert group["merged_pages"] >= 600
    assert group["merged_pages"] + document["other"]["merged_pages"] == 640
    assert group["saved_bytes"] == saved_bytes == 320 * 4096
