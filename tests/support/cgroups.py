"""Where this machine's cgroups are."""

from pathlib import Path

import pytest

from conftest import cannot


def memory_root(request: pytest.FixtureRequest) -> Path:
    """The root of the cgroups that memory is charged to: of v1's controller, else of v2.

    Without any, the test is skipped, or fails where it must run.
    """
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    memory = [f for f in mounts if f[2] == "cgroup" and "memory" in f[3].split(",")]
    unified = [f for f in mounts if f[2] == "cgroup2"]
    for fields in (*memory, *unified):
        return Path(fields[1])
    cannot(request, "--require-live", "no cgroups are mounted")
    raise AssertionError
