"""Processes with mergeable memory, by the files of several kernels."""

import pytest

from ksmtrace.kernel.mergeable import find_mergeable

SMAPS = """\
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
Rss:                   4 kB
VmFlags: rd wr mr mw me ac {flags}sd
"""


@pytest.mark.parametrize(
    ("ksm_stat", "flags", "mergeable"),
    [
        ("ksm_rmap_items 0\nksm_merge_any: no\nksm_mergeable: yes\n", "", True),
        ("ksm_rmap_items 0\nksm_merge_any: yes\nksm_mergeable: no\n", "", True),
        ("ksm_rmap_items 0\nksm_merge_any: no\nksm_mergeable: no\n", "mg ", False),
        ("ksm_rmap_items 0\n", "mg ", True),
        ("ksm_rmap_items 0\n", "", False),
        (None, "mg ", True),
        ("", "", False),
    ],
)
def test_one_process(tmp_path, ksm_stat, flags, mergeable):
    process = tmp_path / "proc/42"
    process.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir()
    if ksm_stat is not None:
        (process / "ksm_stat").write_text(ksm_stat)
    (process / "smaps").write_text(SMAPS.format(flags=flags))
    assert find_mergeable(tmp_path) == ([42] if mergeable else [])


def test_a_process_that_goes_meanwhile(tmp_path):
    (tmp_path / "proc/42").mkdir(parents=True)
    assert find_mergeable(tmp_path) == []
