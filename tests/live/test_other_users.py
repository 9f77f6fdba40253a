"""A user who is not root, with and without the capabilities that tracing needs."""

import json
import os
import shutil
import subprocess

import pytest

from conftest import cannot
from ksmtrace.kernel.btf import Btf
from support.command import KSMTRACE

pytestmark = pytest.mark.live


def as_user(request, capabilities, *arguments):
    """`ksmtrace ARGUMENTS` as user 65534 with these capabilities, finished; skip where that cannot
    be."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        cannot(request, "--require-live", "needs root and setpriv (util-linux)")
    sets = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return subprocess.run(
        [
            *("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"),
            *("--inh-caps", sets, "--ambient-caps", sets, KSMTRACE, *arguments),
        ],
        capture_output=True, text=True, check=False, timeout=120, cwd="/",
    )  # fmt: skip


LIVE = ("live", "--once", "--json", "--duration", "1", "--probes", "tracepoint")


@pytest.mark.parametrize(
    ("capabilities", "snapshot"),
    [
        (("bpf", "perfmon", "dac_read_search"), "absent"),
        (("sys_admin", "syslog", "dac_read_search"), "sampled"),
    ],
)
def test_capabilities_are_enough(ksm, request, capabilities, snapshot):
    """For tracepoints BPF and PERFMON are enough; page frames take SYS_ADMIN, and without it they
    are said not to be seen."""
    types = Btf()
    known = types.has_typedef("btf_trace_ksm_merge_with_ksm_page")
    types.close()
    if not known:
        pytest.skip("this kernel has no tracepoints of KSM (6.4)")
    ksm.write("run", 1)
    ran = as_user(request, capabilities, *LIVE)
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["tier"] == "tracepoint"
    assert document["probes"]["snapshot"]["exactness"] == snapshot


@pytest.mark.parametrize("capabilities", [(), ("bpf",), ("perfmon", "dac_read_search")])
def test_without_them_that_is_said_in_one_line(request, capabilities):
    ran = as_user(request, capabilities, *LIVE)
    assert ran.returncode == 3
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert "CAP_BPF and CAP_PERFMON" in line
