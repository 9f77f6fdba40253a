"""Cgroup, guest and counters of a process, on a made-up /proc and on this machine's."""

import os

import pytest

from ksmtrace.events import ProcessGauge
from ksmtrace.kernel.processes import read_cgroup, read_ksm_stat, read_rest, read_vm


def proc(tmp_path, **files):
    directory = tmp_path / "proc/5"
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name).write_text(text)
    return tmp_path


def test_ksm_stat_as_each_kernel_has_it(tmp_path):
    root = proc(
        tmp_path,
        ksm_stat="ksm_rmap_items 5\nksm_zero_pages 1\nksm_merging_pages 2\nksm_process_profit -40\n"
        "ksm_merge_any: no\nksm_mergeable: yes\n",
    )
    assert read_ksm_stat(5, root) == {
        ProcessGauge.KSM_RMAP_ITEMS: 5,
        ProcessGauge.KSM_ZERO_PAGES: 1,
        ProcessGauge.KSM_MERGING_PAGES: 2,
        ProcessGauge.KSM_PROCESS_PROFIT: -40,
    }
    (root / "proc/5/ksm_stat").write_text("ksm_rmap_items 5\n")
    (root / "proc/5/ksm_merging_pages").write_text("3\n")
    assert read_ksm_stat(5, root)[ProcessGauge.KSM_MERGING_PAGES] == 3
    assert read_ksm_stat(6, root) == {}


def test_a_command_line_that_is_no_text(tmp_path):
    root = proc(tmp_path)
    (root / "proc/5/cmdline").write_bytes(b"firecracker\0--id\0\xff\x1b[31m\0")
    assert read_vm(5, root=root).endswith("[31m")
    assert read_vm(6, root=root) == ""


def test_this_very_process():
    assert read_cgroup(os.getpid()).startswith("/")
    assert read_vm(os.getpid()) == ""


@pytest.mark.parametrize(
    ("state", "rest"),
    [("S (sleeping)", 812), ("I (idle)", 812), ("R (running)", None), ("D (disk sleep)", None)],
)
def test_a_task_rests_only_in_a_sleep_of_its_own(tmp_path, state, rest):
    (tmp_path / "proc/41").mkdir(parents=True)
    (tmp_path / "proc/41/status").write_text(
        f"Name:\tksmd\nState:\t{state}\nvoluntary_ctxt_switches:\t812\n"
    )
    assert read_rest(41, tmp_path) == rest
    assert read_rest(42, tmp_path) is None


def test_this_process_does_not_rest():
    assert read_rest(os.getpid()) is None
