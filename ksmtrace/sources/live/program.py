"""The BPF program of a plan: compiled by bcc without kernel headers, loaded, attached."""

from __future__ import annotations

import ctypes
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from ksmtrace.errors import HostError
from ksmtrace.events.totals import Outcome
from ksmtrace.kernel.bpf import attach_tracing, load_kprobe
from ksmtrace.kernel.bpf_features import link_program
from ksmtrace.kernel.capabilities import without
from ksmtrace.kernel.host import Bcc, import_bcc
from ksmtrace.kernel.kprobe import attach_kprobe
from ksmtrace.resources import bpf_directory
from ksmtrace.sources.live.bpf_parts import program_parts
from ksmtrace.sources.live.capabilities import Placement
from ksmtrace.sources.live.hook_threads import SHARED
from ksmtrace.sources.live.plan import Plan
from ksmtrace.sources.live.probe_spec import Hook, Place
from ksmtrace.sources.live.program_text import program_text, wrapper_name

_KPROBE = 2  # BPF_PROG_TYPE_KPROBE
_PERF_TYPE_SOFTWARE = 1
_PERF_COUNT_SW_CONTEXT_SWITCHES = 3

RING_BYTES = 16 * 1024 * 1024
"""Size of the ring: at a million events a second, 0.2 s of a stalled reader."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One BPF program.

    Attributes:
        descriptor: of the program; it is the `Program`'s to close.
        mechanism: as in `Placement`.
    """

    descriptor: int
    hook: Hook
    mechanism: str


class Program:
    """A plan's BPF programs, loaded and attached.

    Attributes:
        loaded: the programs that hooks run, by name, without those of fentry that are attached for
            now only.
        links: of the kprobes among them, by hook, where the kernel has links of them (5.15).

    Raises:
        HostError: bcc is missing, the text does not compile, or the kernel refuses a program.
    """

    def __init__(self, plan: Plan, ksmd_pid: int, ring_bytes: int = RING_BYTES) -> None:
        self._ksmd_pid = ksmd_pid
        self._descriptors: list[int] = []
        self.loaded: dict[str, Loaded] = {}
        self.links: list[tuple[Hook, int]] = []
        page = os.sysconf("SC_PAGE_SIZE")
        defines = plan.defines | {"KSMD_PID": ksmd_pid, "RING_PAGES": ring_bytes // page}
        flags = [f"-D{name}={_number(value)}" for name, value in defines.items()]
        looping = "WITH_BPF_LOOP" in plan.defines
        parts = program_parts(plan.files) if looping else ()
        self._callbacks = {body: name for part in parts for body, name in part.callbacks.items()}
        self._bpf = compile_text(program_text(plan), flags)
        try:
            self._load_linked(plan)
            for hook, placement in plan.placements.items():
                for symbol in placement.symbols if hook not in plan.by_windows else ():
                    self._attach(hook, placement, symbol)
        except BaseException:
            self.close()
            raise

    @property
    def ring(self) -> Bcc:
        """Bcc's table of the ring."""
        return self._bpf[b"events"]

    @property
    def bpf(self) -> Bcc:
        """Bcc's BPF object."""
        return self._bpf

    def lost(self) -> int:
        """Events that found the ring full since the programs were attached."""
        return sum(producer.lost for producer in self._bpf[b"producers"][ctypes.c_int(0)])

    def ask_for_inventory(self) -> None:
        """Have what gathers list all rmap_items; nothing where the kernel refuses the write."""
        with suppress(Exception):  # bcc raises bare Exception
            self._bpf[b"gather_controls"][ctypes.c_int(0)] = ctypes.c_uint(1)

    def ksmd_runs(self) -> list[int]:
        """How often the programs of hooks in `hook_threads.SHARED` ran in ksmd, in that order."""
        counts = self._bpf[b"ksmd_runs"]
        return [sum(counts[ctypes.c_int(place)]) for place in range(len(SHARED))]

    def totals(self) -> dict[Outcome, int]:
        """How often each outcome has happened since the programs were attached (`Plan.totals`)."""
        found: dict[Outcome, int] = {}
        for key, counts in self._bpf[b"totals"].items():
            packed = int(key.value)
            err = (packed & 0xFFFF ^ 0x8000) - 0x8000
            found[Outcome(packed >> 24, err, bool(packed >> 16 & 0xFF))] = sum(counts)
        return found

    def needs_bpf_to_read(self) -> bool:
        """Whether this kernel lets nobody without CAP_BPF read a map, as those before 5.19.

        Not even one of the reader's own.

        Raises:
            OSError: capabilities cannot be set.
        """
        with without("CAP_BPF"):
            try:
                self.lost()
            except KeyError:  # bcc's word for a look-up that failed
                return True
        return False

    def close(self) -> None:
        """Detach everything and unload it."""
        close_all(self._descriptors)
        if self._bpf is not None:
            self._bpf.cleanup()
            self._bpf = None

    def _load_linked(self, plan: Plan) -> None:
        """Load those programs for kprobes that bcc cannot load."""
        parts = program_parts(plan.files)
        linked = {body for part in parts for body in part.callbacks}
        for hook, placement in plan.placements.items():
            if hook.body in linked and placement.mechanism == "kprobe":
                name = wrapper_name(hook, placement)
                loaded = self._load(name, self._callbacks.get(hook.body, ""))
                self.loaded[name] = Loaded(loaded, hook, placement.mechanism)
        if "WITH_BPF_LOOP" in plan.defines:
            return
        for place, name in enumerate(name for part in parts for name in part.tails):
            tails = self._bpf[b"gather_tails"]
            tails[ctypes.c_int(place)] = ctypes.c_int(self._load(name))

    def _load(self, name: str, callback: str = "") -> int:
        code, callback_at = self._linked(name, callback)
        try:
            loaded = load_kprobe(code, callback_at=callback_at)
        except OSError as error:
            raise HostError(f"the kernel refuses the program {name}: {error}") from error
        self._descriptors.append(loaded)
        return loaded

    def _linked(self, name: str, callback: str) -> tuple[bytes, int]:
        """A program's code with what it calls back, and where in it that is; 0 for nothing."""
        code = self._bpf.dump_func(name.encode())
        called = self._bpf.dump_func(callback.encode()) if callback else b""
        return link_program(code, called), len(code) if called else 0

    def attach_for_now(self, hook: Hook, placement: Placement) -> list[int]:
        """Attach one of `plan.by_windows`.

        Returns descriptors; closing them, last first, detaches it, and waits until it is.

        Raises:
            OSError: the kernel refuses.
        """
        program, at_return = wrapper_name(hook, placement).encode(), hook.place is Place.RETURN
        if placement.mechanism == "fentry":
            bytecode = self._bpf.dump_func(program)
            return list(attach_tracing(bytecode, placement.btf_id, at_return=at_return))
        loaded, held = self._bpf.load_func(program, _KPROBE).fd, list[int]()
        self.loaded[program.decode()] = Loaded(loaded, hook, placement.mechanism)
        try:
            for symbol in placement.symbols:
                held += attach_kprobe(loaded, symbol, at_return=at_return)
        except OSError:
            close_all(held)
            raise
        return held

    def _attach(self, hook: Hook, placement: Placement, symbol: str) -> None:
        noise: list[str] = []
        try:
            with _quiet_stderr() as noise:
                self._attach_by(hook, placement, symbol)
        except Exception as error:  # bcc raises bare Exception
            raise HostError(
                f"{placement.mechanism} {symbol} cannot be attached: "
                f"{_complaint(noise) or error}; see `ksmtrace doctor`"
            ) from error

    def _attach_by(self, hook: Hook, placement: Placement, symbol: str) -> None:
        name = wrapper_name(hook, placement)
        bpf, program = self._bpf, name.encode()
        at_return = hook.place is Place.RETURN
        match placement.mechanism:
            case "fentry":
                code, callback_at = self._linked(name, self._callbacks.get(hook.body, ""))
                loaded, link = attach_tracing(
                    code, placement.btf_id, at_return=at_return, callback_at=callback_at
                )
                self._descriptors += (loaded, link)
                self.loaded[name] = Loaded(loaded, hook, placement.mechanism)
                return
            case "kprobe":
                if name in self.loaded:
                    loaded = self.loaded[name].descriptor
                else:
                    loaded = bpf.load_func(program, _KPROBE).fd
                held = attach_kprobe(loaded, symbol, at_return=at_return, offset=hook.offset)
                self._descriptors += held
                self.links += [(hook, link) for link in held[1:]]
                self.loaded[name] = Loaded(loaded, hook, placement.mechanism)
                return
            case "raw_tracepoint":
                bpf.attach_raw_tracepoint(tp=symbol.encode(), fn_name=program)
            case "perf":
                bpf.attach_perf_event(
                    ev_type=_PERF_TYPE_SOFTWARE,
                    ev_config=_PERF_COUNT_SW_CONTEXT_SWITCHES,
                    fn_name=program,
                    sample_period=1,
                    pid=self._ksmd_pid,
                )
        self.loaded[name] = Loaded(bpf.funcs[program].fd, hook, placement.mechanism)


def close_all(descriptors: list[int]) -> None:
    """Close them, last first, and empty the list."""
    while descriptors:
        os.close(descriptors.pop())


def compile_text(text: str, cflags: list[str]) -> Bcc:
    """Compile a C text: bcc's BPF object with its maps made, nothing loaded yet.

    The bench of probes puts another in its place, whose programs were compiled elsewhere.

    Raises:
        HostError: bcc is missing, or the text does not compile.
    """
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
