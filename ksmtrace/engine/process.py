"""Processes and their memory as a workload names them."""

from __future__ import annotations

from dataclasses import dataclass

from ksmtrace.engine.machine.memory import Mm

_FIRST_VPN = 0x1_0000_0000


@dataclass(frozen=True, slots=True)
class Region:
    """Memory that was mapped in one go: its first page number, and how many pages."""

    first_vpn: int
    pages: int


@dataclass(slots=True)
class Process:
    """A process by name; `regions` are those it has mapped, or inherited."""

    mm: Mm
    regions: dict[str, Region]
    next_vpn: int = _FIRST_VPN
