"""What a run has in the kernel: the BPF program of its plan, and the ring of its events."""

from __future__ import annotations

from ksmtrace.errors import HostError
from ksmtrace.events.kinds import EventKind
from ksmtrace.events.record import Records, empty_records
from ksmtrace.events.totals import Outcome
from ksmtrace.session import Probe
from ksmtrace.sources.live.fault_probes import FaultProbes
from ksmtrace.sources.live.plan import Plan
from ksmtrace.sources.live.program import Program
from ksmtrace.sources.live.ring import NOTHING, Drained, RingReader, open_ring
from ksmtrace.sources.live.windows import Windows


class Attachment:
    """A program that is attached, and its ring; neither in a run that reads counters alone.

    A program without a ring counts events and sends none.

    Args:
        windowed: of its probes, those that are attached by windows, and how.
        gathers: whether ksmd's batches are gathered: the ring has chunks.

    Attributes:
        gathers: as above.
    """

    def __init__(
        self,
        program: Program | None = None,
        ring: RingReader | None = None,
        windowed: tuple[FaultProbes, Probe] | None = None,
        *,
        gathers: bool = False,
    ) -> None:
        self.gathers = gathers
        self._program = program
        self._ring = ring
        self._windowed = windowed
        self._windows: Windows | None = None

    def start_windows(self) -> None:
        """From now on, attach by windows what is attached so; capabilities must be settled."""
        if self._windowed is not None and self._windows is None:
            probes, probe = self._windowed
            self._windows = Windows(probes, probe.share)
            self._windows.start()

    def stop_windows(self) -> None:
        """End the window under way, so that its end is among the marks; no other follows."""
        if self._windows is not None:
            self._windows.close()

    def drain(self, most: int) -> Drained:
        """The first records that have arrived, as a `RingReader` gives them."""
        return self._ring.drain(most) if self._ring is not None else NOTHING

    def ask_for_inventory(self) -> None:
        """Have the program list all rmap_items; nothing where the kernel refuses that by now."""
        if self._program is not None:
            self._program.ask_for_inventory()

    @property
    def program(self) -> Program | None:
        """The program, while it is attached."""
        return self._program

    def marks(self) -> Records:
        """The beginnings and ends of windows since the last call, as SAMPLEs."""
        return self._windows.marks() if self._windows is not None else empty_records()

    def why_no_windows(self) -> str:
        """Why the kernel refuses further windows; "" while it does not."""
        return self._windows.error if self._windows is not None else ""

    def totals(self) -> dict[Outcome, int]:
        """How often each outcome has happened since attached; empty where events are sent."""
        return self._program.totals() if self._program and self._ring is None else {}

    @property
    def capacity(self) -> int:
        """Events that the ring can hold."""
        return self._ring.capacity if self._ring is not None else 0

    def lost(self) -> int:
        """Events that found the ring full since the program was attached."""
        return self._program.lost() if self._program is not None else 0

    def needs_bpf_to_read(self) -> bool:
        """Whether `lost` needs CAP_BPF on this kernel.

        Raises:
            OSError: capabilities cannot be set.
        """
        return self._program is not None and self._program.needs_bpf_to_read()

    def needed_for_windows(self) -> frozenset[str]:
        """The capabilities that attaching by windows needs.

        Raises:
            OSError: capabilities cannot be set.
        """
        return self._windowed[0].needed_to_attach() if self._windowed is not None else frozenset()

    def close(self) -> None:
        """Detach everything; a second time does nothing."""
        program, ring = self._program, self._ring
        self._program = self._ring = None
        if self._windows is not None:
            self._windows.close()
        try:
            if ring is not None:
                ring.close()
        finally:
            if program is not None:
                program.close()


def attach(plan: Plan, ksmd_pid: int, ring_bytes: int, *, mapped: bool | None = None) -> Attachment:
    """Compile and attach what the plan asks for; nothing where it asks for none.

    Args:
        plan: the probes.
        ksmd_pid: the thread whose context switches are followed.
        ring_bytes: size of the ring, a power of 2 and a multiple of the page size.
        mapped: as in `open_ring`.

    Raises:
        HostError: bcc is missing, the text does not compile, or the kernel refuses a program.
        OSError: the ring cannot be mapped.
    """
    if not plan.placements:
        return Attachment()
    program = Program(plan, ksmd_pid, ring_bytes)
    if plan.totals:
        return Attachment(program)
    try:
        windowed = _windowed(program, plan)
        ring = open_ring(program, ring_bytes, mapped=mapped)
        return Attachment(program, ring, windowed, gathers="GATHERED" in plan.defines)
    except BaseException:
        program.close()
        raise


def _windowed(program: Program, plan: Plan) -> tuple[FaultProbes, Probe] | None:
    """What is to be attached by windows, tried once; None where nothing is."""
    if not plan.by_windows:
        return None
    probes = FaultProbes(program, plan.by_windows)
    try:
        probes.try_once()
    except Exception as error:  # bcc raises bare Exception
        raise HostError(f"{error}; see `ksmtrace doctor`, or trace with --cow none") from error
    return probes, plan.probes[EventKind.COW_FAULT]
