"""Finds the installed data files: the BPF text and the stub headers for bcc."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path


def bpf_source(name: str) -> str:
    """Text of `bpf/<name>`."""
    return (files("ksmtrace.bpf") / name).read_text(encoding="utf-8")


@contextmanager
def bpf_directory() -> Iterator[Path]:
    """A real directory that holds `bpf/`, for as long as the context lasts."""
    with as_file(files("ksmtrace.bpf")) as path:
        yield path
