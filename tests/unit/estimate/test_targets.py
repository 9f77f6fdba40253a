"""Which processes are looked at, and what is said where none can be seen."""

import pytest

from ksmtrace.errors import ExitStatus, HostError
from ksmtrace.estimate.targets import find_targets


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("asked", [{}, {"pids": [1]}, {"cgroups": ["/"]}, {"vms": ["web"]}])
def test_without_proc_nothing_is_said_of_processes(tmp_path, there, asked):
    if there:
        (tmp_path / "proc").mkdir()
    with pytest.raises(HostError, match="/proc is not mounted") as raised:
        find_targets(root=tmp_path, **asked)
    assert raised.value.status == ExitStatus.HOST_CANNOT
