"""What the path of a cgroup tells."""

from __future__ import annotations

_UNITS = (".service", ".scope", ".socket", ".mount", ".swap")


def unit_of(cgroup: str) -> str:
    """The systemd unit that a cgroup is in.

    It is the innermost service, scope or the like, else the innermost slice, else "". A unit whose
    name would be taken for a file of the kernel has a "_" before it (systemd.resource-control(5),
    cg_escape).
    """
    names = [name.removeprefix("_") for name in reversed(cgroup.split("/"))]
    for endings in (_UNITS, (".slice",)):
        for name in names:
            if name.endswith(endings) and name not in endings:
                return name
    return ""
