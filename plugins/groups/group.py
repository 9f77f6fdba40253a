"""The group of a process, as metrics are labelled: its cgroup, the systemd unit, the guest."""

from __future__ import annotations

from dataclasses import dataclass

from ksmtrace.events.cgroup import unit_of
from ksmtrace.model.processes import Process


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """Labels; no two groups have the same.

    Attributes:
        cgroup: path of the cgroup below the mount, "" where not known.
        unit: as `unit_of` finds it.
        vm: the guest, "" where none runs. Two guests in one cgroup are two groups.
    """

    cgroup: str
    unit: str
    vm: str


OTHER = Group("other", "other", "other")
"""All that has no group of its own. No process has this one: the unit of a path "other" is ""."""


def group_of(process: Process) -> Group | None:
    """The group that the process belongs to; None where neither its cgroup nor a guest is known."""
    cgroup, vm = process.cgroup, process.vm
    return Group(cgroup, unit_of(cgroup), vm) if cgroup or vm else None
