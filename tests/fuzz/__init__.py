"""Fuzzing: each reader of what others wrote, given any bytes. One target a module.

A target is `target(data)`: it returns, or raises what the reader documents (KsmtraceError). Its
`seeds()` are small inputs that are right, by name: `python -m fuzz.seeds` writes them to `corpus/`.
What once went wrong is in `found/`, for ever.
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

TARGETS = (
    *("capture", "capture_facts", "records", "workload", "probe_map", "vmlinux"),
    *("web_config", "kernel_files", "http", "ring", "gathered", "command_line"),
)
"""Every target, by its module."""

MOST_GROWTH_MIB = 512
"""Of resident memory, over that of the imported target."""

MOST_SECONDS = 30
"""For one input, on however slow a machine."""

FOLDER = Path(__file__).parent


def load(name: str) -> ModuleType:
    """The module of a target."""
    return import_module(f"fuzz.{name}")


def kept(name: str) -> Iterator[Path]:
    """The files of a target: its corpus, and what once went wrong."""
    for folder in ("corpus", "found"):
        yield from sorted((FOLDER / folder / name).glob("*"))
