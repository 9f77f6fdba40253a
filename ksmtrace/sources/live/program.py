"""Compiles the BPF text of a tier with bcc, without kernel headers, and attaches it."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ksmtrace.errors import HostError
from ksmtrace.kernel.host import import_bcc
from ksmtrace.resources import bpf_directory, bpf_source
from ksmtrace.sources.live.ladder import Survey
from ksmtrace.sources.live.tiers import Attach

_PERF_TYPE_SOFTWARE = 1
_PERF_COUNT_SW_CONTEXT_SWITCHES = 3

RING_BYTES = 16 * 1024 * 1024
"""Size of the ring: at a million events a second, 0.2 s of a stalled reader."""


class Program:
    """A tier's BPF programs, loaded and attached.

    Raises:
        HostError: bcc is missing, the text does not compile, or the kernel refuses a program.
    """

    def __init__(self, survey: Survey, ksmd_pid: int, ring_bytes: int = RING_BYTES) -> None:
        self._ksmd_pid = ksmd_pid
        page = os.sysconf("SC_PAGE_SIZE")
        defines = survey.defines | {"KSMD_PID": ksmd_pid, "RING_PAGES": ring_bytes // page}
        text = "\n".join(
            bpf_source(name).replace("#pragma once\n", "") for name in survey.tier.sources
        )
        self._bpf = _compile(
            text, [f"-D{name}={_number(value)}" for name, value in defines.items()]
        )
        try:
            for attach in survey.tier.attaches:
                self._attach(attach)
        except HostError:
            self.close()
            raise

    @property
    def ring(self) -> Any:  # noqa: ANN401 - bcc has no types
        """Bcc's table of the ring."""
        return self._bpf[b"events"]

    @property
    def bpf(self) -> Any:  # noqa: ANN401 - bcc has no types
        """Bcc's BPF object."""
        return self._bpf

    def lost(self) -> int:
        """Events that found the ring full since the programs were attached."""
        return sum(producer.lost for producer in self._bpf[b"producers"][ctypes.c_int(0)])

    def close(self) -> None:
        """Detach everything and unload it."""
        if self._bpf is not None:
            self._bpf.cleanup()
            self._bpf = None

    def _attach(self, attach: Attach) -> None:
        bpf, target, program = self._bpf, attach.target.encode(), attach.program.encode()
        noise: list[str] = []
        try:
            with _quiet_stderr() as noise:
                match attach.how:
                    case "kprobe":
                        bpf.attach_kprobe(event=target, event_off=attach.offset, fn_name=program)
                    case "kretprobe":
                        bpf.attach_kretprobe(event=target, fn_name=program)
                    case "raw_tracepoint":
                        bpf.attach_raw_tracepoint(tp=target, fn_name=program)
                    case "ksmd_switch":
                        bpf.attach_perf_event(
                            ev_type=_PERF_TYPE_SOFTWARE,
                            ev_config=_PERF_COUNT_SW_CONTEXT_SWITCHES,
                            fn_name=program,
                            sample_period=1,
                            pid=self._ksmd_pid,
                        )
        except Exception as error:  # bcc raises bare Exception
            raise HostError(
                f"{attach.how} {attach.target} cannot be attached: {_complaint(noise) or error}; see `ksmtrace doctor`"
            ) from error


def _compile(text: str, cflags: list[str]) -> Any:  # noqa: ANN401 - bcc has no types
    bcc = import_bcc()
    before = os.environ.get("BCC_KERNEL_SOURCE")
    noise: list[str] = []
    try:
        with bpf_directory() as directory, _quiet_stderr() as noise:
            os.environ["BCC_KERNEL_SOURCE"] = str(directory)
            return bcc.BPF(text=text.encode(), cflags=cflags)
    except Exception as error:  # bcc raises bare Exception
        raise HostError(
            f"bcc cannot compile or load the probes: {_complaint(noise) or error}"
        ) from error
    finally:
        if before is None:
            os.environ.pop("BCC_KERNEL_SOURCE", None)
        else:
            os.environ["BCC_KERNEL_SOURCE"] = before


def _number(value: int | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:#x}ULL" if value > 0x7FFFFFFF else str(value)


def _complaint(noise: list[str]) -> str:
    errors = [line for line in noise if "error:" in line]
    return (errors[:1] or noise[-1:] or [""])[0].strip()


@contextmanager
def _quiet_stderr() -> Iterator[list[str]]:
    """Keep what bcc's C code prints on stderr; the list is filled when the context ends."""
    lines: list[str] = []
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            noise.seek(0)
            lines.extend(noise.read().decode(errors="replace").splitlines())
