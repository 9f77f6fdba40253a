"""Positions of the host's switches by which probes that are attached do not fire."""

from __future__ import annotations

import errno
from pathlib import Path

from ksmtrace.events.kinds import Gauge
from ksmtrace.events.switches import SWITCHES, Switch
from ksmtrace.kernel.files import UnreadError, load_number
from ksmtrace.kernel.sysfs import ROOT


def read_switch(gauge: Gauge, root: Path = ROOT) -> int | None:
    """The position of a switch, None where there is no such file.

    Raises:
        UnreadError: it cannot be read.
    """
    return load_number(root / SWITCHES[gauge].file)


def switched_off(mechanism: str, root: Path = ROOT) -> Switch | None:
    """The switch by which a mechanism is silent now; None where there is none, or none is known."""
    for gauge, switch in SWITCHES.items():
        if mechanism in switch.mechanisms:
            try:
                position = read_switch(gauge, root)
            except UnreadError:
                continue
            if position == 0:
                return switch
    return None


def is_ftrace_off(root: Path = ROOT) -> bool:
    """Whether kernel.ftrace_enabled is 0."""
    try:
        return read_switch(Gauge.FTRACE_ENABLED, root) == 0
    except UnreadError:
        return False


def refuse_while_ftrace_is_off(root: Path = ROOT) -> None:
    """Keep a kprobe or fentry from being attached then.

    On 6.1 and 6.12 one that is attached and let go of meanwhile leaves ftrace out of order for
    everybody, ENODEV, until the host is booted again.

    Raises:
        OSError: EBUSY, kernel.ftrace_enabled is 0.
    """
    if is_ftrace_off(root):
        switch = SWITCHES[Gauge.FTRACE_ENABLED]
        raise OSError(errno.EBUSY, f"{switch.setting} is 0; {switch.remedy}")
