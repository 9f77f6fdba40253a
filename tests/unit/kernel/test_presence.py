"""What is said of a host on which KSM or ksmd is not to be seen, by trees made for the test."""

import os

import pytest

from ksmtrace.kernel.presence import why_no_ksm, why_no_ksmd
from ksmtrace.sources.live.preconditions import check_host

NO_OTHER = "2 (kthreadd) S 0 0\n"


def tree(tmp_path, **files):
    """A root directory with these files; "__" stands for "/"."""
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_ksm_that_is_there(tmp_path):
    root = tree(tmp_path, sys__kernel__mm__ksm__run="0\n")
    assert why_no_ksm(root) is None
    assert check_host(root, with_probes=False) == 0


@pytest.mark.parametrize(
    ("files", "words", "sure"),
    [
        ({"sys__kernel__mm__swap__vma_ra_enabled": "1"}, "this kernel has no KSM", True),
        ({"sys__kernel__mm__ksm__other": "1"}, "has no file run", False),
        ({"sys__kernel__notes": ""}, "sysfs is not mounted or hidden here", False),
        ({}, "sysfs is not mounted or hidden here", False),
    ],
)
def test_only_what_is_known_is_said(tmp_path, files, words, sure):
    absence = why_no_ksm(tree(tmp_path, **files))
    assert words in absence.found
    assert ("not known whether" in absence.found) is not sure
    assert absence.remedy


def test_a_loop_or_a_right_that_is_missing_is_no_absence(tmp_path):
    root = tree(tmp_path, sys__kernel__mm__other="")
    (root / "sys/kernel/mm/ksm").symlink_to("ksm")
    assert "ELOOP" in why_no_ksm(root).found
    assert "no KSM" not in str(why_no_ksm(root))


@pytest.mark.skipif(os.geteuid() != 0, reason="permissions stop only others")
def test_permissions(tmp_path):
    root = tree(tmp_path, sys__kernel__mm__ksm__run="1\n")
    tmp_path.chmod(0o755)
    (root / "sys/kernel/mm").chmod(0)
    os.seteuid(65534)
    try:
        found = why_no_ksm(root)
    finally:
        os.seteuid(0)
        (root / "sys/kernel/mm").chmod(0o755)
    assert "EACCES" in str(found)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "lists no process"),
        ({"proc__1__stat": "1 (sh) S 0 0\n"}, "PID namespace of its own"),
        ({"proc__2__stat": "2 (cron) S 1 0\n"}, "PID namespace of its own"),
        ({"proc__2__stat": NO_OTHER}, "among 1 processes"),
        (
            {
                "proc__9__stat": "9 (sh) S 1 0\n",
                "proc__self__mounts": "proc /proc proc rw,nosuid,hidepid=invisible 0 0\n",
            },
            "hidepid=invisible",
        ),
        (
            {
                "proc__2__stat": NO_OTHER,
                "proc__self__mounts": "proc /proc proc rw,hidepid=2 0 0\nproc /proc proc rw 0 0\n",
            },
            "among 1 processes",
        ),
    ],
)
def test_what_hides_ksmd(tmp_path, files, words):
    absence = why_no_ksmd(tree(tmp_path, **files))
    assert words in absence.found
    assert "no KSM" not in str(absence)
