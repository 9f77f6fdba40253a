"""Storms of copies: seconds in which many more KSM pages are broken than usual."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from statistics import median

from ksmtrace.model.processes import Process

STORM_FLOOR = 1000
"""Breaks in a second below which nothing is a storm."""

STORM_MULTIPLE = 8
"""A storm's second has more than so many times the median of the seconds before."""

MEDIAN_SECONDS = 60
"""Seconds of which the median is taken: a storm longer than half of them becomes the usual."""

MOST_STORMS = 8
MOST_NAMED = 32


@dataclass(slots=True)
class Storm:
    """Seconds of storm that follow each other.

    Attributes:
        first, last: seconds since the trace began.
        user, kernel: breaks by writes, and by the kernel.
        worst: breaks in the worst of its seconds.
        usual: median of the seconds before it.
        by_process: breaks by number of the process.
        processes: those with most breaks in a second of it.
    """

    first: int
    last: int
    user: int
    kernel: int
    worst: int
    usual: float
    by_process: Counter[int] = field(default_factory=Counter)
    processes: dict[int, Process] = field(default_factory=dict)


@dataclass(slots=True)
class Second:
    """What was broken in one second."""

    number: int = -1
    user: int = 0
    kernel: int = 0
    by_process: Counter[int] = field(default_factory=Counter)
    processes: dict[int, Process] = field(default_factory=dict)


class Storms:
    """Follows seconds in order.

    Attributes:
        seen: storms so far that are over a second old.
    """

    def __init__(self) -> None:
        self.seen = 0
        self._last: deque[Storm] = deque(maxlen=MOST_STORMS)
        self._before: deque[int] = deque(maxlen=MEDIAN_SECONDS)
        self._now = Second()

    def add(self, second: int, process: Process, user: int, kernel: int) -> None:
        """Breaks of a process in a second, no earlier than the one before."""
        if second != self._now.number:
            self._close(second)
        now = self._now
        now.user += user
        now.kernel += kernel
        now.by_process[process.number] += user + kernel
        now.processes[process.number] = process

    def latest(self) -> tuple[int, list[Storm]]:
        """How many there were, and the latest; the second under way counts too."""
        storm = self._judge(self._now)
        if storm is None:
            return self.seen, list(self._last)
        if self._last and self._last[-1].last == storm.first - 1:
            return self.seen, [*list(self._last)[:-1], _joined(self._last[-1], storm)]
        return self.seen + 1, [*self._last, storm][-MOST_STORMS:]

    def _close(self, second: int) -> None:
        now = self._now
        if now.number >= 0:
            storm = self._judge(now)
            if storm is not None and self._last and self._last[-1].last == now.number - 1:
                self._last[-1] = _joined(self._last[-1], storm)
            elif storm is not None:
                self._last.append(storm)
                self.seen += 1
            self._before.append(now.user + now.kernel)
            quiet = min(second - now.number - 1, MEDIAN_SECONDS)
            self._before.extend([0] * quiet)
        self._now = Second(second)

    def _judge(self, second: Second) -> Storm | None:
        breaks = second.user + second.kernel
        usual = median(self._before) if self._before else 0
        if breaks < STORM_FLOOR or breaks <= STORM_MULTIPLE * usual:
            return None
        named = _most(second.by_process, second.processes)
        return Storm(
            second.number,
            second.number,
            second.user,
            second.kernel,
            breaks,
            usual,
            named,
            {number: second.processes[number] for number in named},
        )


def _most(by_process: Counter[int], processes: dict[int, Process]) -> Counter[int]:
    """The processes with most; ties by mm, since numbers depend on how the stream was cut."""
    ranked = sorted(by_process.items(), key=lambda pair: (-pair[1], processes[pair[0]].mm))
    return Counter(dict(ranked[:MOST_NAMED]))


def _joined(first: Storm, second: Storm) -> Storm:
    processes = first.processes | second.processes
    named = _most(first.by_process + second.by_process, processes)
    return Storm(
        first.first,
        second.last,
        first.user + second.user,
        first.kernel + second.kernel,
        max(first.worst, second.worst),
        first.usual,
        named,
        {number: processes[number] for number in named},
    )
