"""What a run has in the kernel: the BPF program of its plan, and the ring of its events."""

from __future__ import annotations

from ksmtrace.events.totals import Outcome
from ksmtrace.sources.live.plan import Plan
from ksmtrace.sources.live.program import Program
from ksmtrace.sources.live.ring import NOTHING, Drained, RingReader, open_ring


class Attachment:
    """A program that is attached, and its ring; neither in a run that reads counters alone.

    A program without a ring counts events and sends none.
    """

    def __init__(self, program: Program | None = None, ring: RingReader | None = None) -> None:
        self._program = program
        self._ring = ring

    def drain(self) -> Drained:
        """The records that have arrived, in order; they are the caller's."""
        return self._ring.drain() if self._ring is not None else NOTHING

    def totals(self) -> dict[Outcome, int]:
        """How often each outcome has happened since attached; empty where events are sent."""
        return self._program.totals() if self._program and self._ring is None else {}

    def is_filling(self, slots: int) -> bool:
        """Whether one drain took so much out of the ring that the next should not wait.

        Args:
            slots: `Drained.slots`.
        """
        return self._ring is not None and slots >= self._ring.capacity // 4

    def lost(self) -> int:
        """Events that found the ring full since the program was attached."""
        return self._program.lost() if self._program is not None else 0

    def needs_bpf_to_read(self) -> bool:
        """Whether `lost` needs CAP_BPF on this kernel.

        Raises:
            OSError: capabilities cannot be set.
        """
        return self._program is not None and self._program.needs_bpf_to_read()

    def close(self) -> None:
        """Detach everything; a second time does nothing."""
        program, ring = self._program, self._ring
        self._program = self._ring = None
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
        return Attachment(program, open_ring(program, ring_bytes, mapped=mapped))
    except BaseException:
        program.close()
        raise
