"""Builds the steps of a case from a capture: the changes before each pass, and then the pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ksmtrace.engine.machine.checksum import PAGE_SIZE
from ksmtrace.engine.variants import KERNELS
from ksmtrace.whatif.capture_reader import CaptureReader
from ksmtrace.whatif.history import Content, Interval, Place, Process, Write
from ksmtrace.whatif.layout import Layout, Run
from ksmtrace.workload.file import Step

WARM_UP_PASSES = 3
"""So many passes bring about what was merged before the first pass of a capture."""

_WORD_BYTES = 8
_KNOWN, _UNKNOWN = 1 << 32, 2 << 32
_ZERO_CHECKSUMS = frozenset(
    variant.checksum.of_page(bytes(PAGE_SIZE)) for variant in KERNELS.values()
)


@dataclass(frozen=True, slots=True)
class Words:
    """Contents of pages that follow one another in a region: each repeats its word of 8 bytes.

    Attributes:
        first: number of the first page.
        words: one for each page.
    """

    first: int
    words: tuple[int, ...]

    def __call__(self, index: int) -> bytes:
        """All bytes of page `index` of the region."""
        word = self.words[index - self.first]
        return word.to_bytes(_WORD_BYTES, "little") * (PAGE_SIZE // _WORD_BYTES)


@dataclass(frozen=True, slots=True)
class CaseSteps:
    """Steps of a case, and how many of them are the warm-up."""

    steps: tuple[Step, ...]
    warm_up_steps: int


def build_steps(reader: CaptureReader) -> CaseSteps:
    """The steps that repeat everything `reader` has read."""
    return _Builder(reader).build()


class _Builder:
    """Goes through the intervals, with what each process has in its memory."""

    def __init__(self, reader: CaptureReader) -> None:
        self._reader = reader
        self._steps: list[Step] = []
        self._memory: dict[int, dict[int, int]] = {}  # process -> page -> word
        self._unknown: dict[Content, int] = {}
        self._layouts = _layouts(reader)
        self._warm: set[int] = set()

    def build(self) -> CaseSteps:
        warm_up_steps = self._warm_up()
        for number, interval in enumerate(self._reader.intervals):
            if number < self._reader.passes:
                self._change(interval)
                self._scan(interval)
            else:
                self._write_all(interval.written)
        return CaseSteps(tuple(self._steps), warm_up_steps)

    def _warm_up(self) -> int:
        before = self._reader.before
        if not before:
            return 0
        for number in dict.fromkeys(number for number, _ in before):
            self._spawn(self._reader.processes[number])
            self._warm.add(number)
        self._write_all({place: Write(content) for place, content in before.items()})
        self._add("scan", passes=WARM_UP_PASSES)
        return len(self._steps)

    def _scan(self, interval: Interval) -> None:
        held = defaultdict(list)
        for number, vpn in sorted(place for place in interval.held if self._has(place)):
            held[number].append(vpn)
        for number, vpns in held.items():
            for run in self._runs(number, vpns):
                self._reach("pin", number, run)
        self._add("scan", passes=1)
        for number in held:
            self._add("unpin", process=_name(number))

    def _change(self, interval: Interval) -> None:
        if interval.unmerged:
            self._add("run", value=2)
        if interval.tunables:
            self._add("set", tunables=interval.tunables)
        new = [one for one in interval.appeared if one.number not in self._warm]
        forked = [one for one in new if one.parent is not None]
        for process in new:
            if process not in forked:
                self._spawn(process)
        children = {process.number for process in forked}
        by_child = _of(interval.written, children)
        late = {place: write for place, write in interval.written.items() if write.after_forks}
        soon = {p: w for p, w in interval.written.items() if p not in by_child and p not in late}
        self._discard(place for place in interval.cleared if place[0] not in children)
        self._write_all(soon)
        for process in forked:
            self._fork(process)
            mine = {process.number}
            gone = interval.cleared | interval.vanished
            self._discard(place for place in gone if place[0] in mine)
            self._write_all(_of(by_child, mine))
        self._write_all(late)
        self._discard(place for place in interval.vanished if place[0] not in children)
        for process in interval.exited:
            if self._memory.pop(process.number, None) is not None:
                self._add("exit", process=_name(process.number))

    def _spawn(self, process: Process) -> None:
        name = _name(process.number)
        self._add("spawn", process=name)
        for region, pages in self._layouts[process.root.number].regions.items():
            self._add("map", process=name, region=region, pages=pages, huge=False)
            self._add("mergeable", process=name, region=region, first=0, pages=pages)
        self._memory[process.number] = {}

    def _fork(self, process: Process) -> None:
        assert process.parent is not None, "only those with a parent are forked"
        parent = process.parent.number
        self._add("fork", process=_name(parent), child=_name(process.number))
        self._memory[process.number] = dict(self._memory[parent])

    def _discard(self, places: Iterable[Place]) -> None:
        gone = defaultdict(list)
        for place in places:
            if self._has(place):
                gone[place[0]].append(place[1])
                del self._memory[place[0]][place[1]]
        for number in sorted(gone):
            for run in self._runs(number, gone[number]):
                self._reach("discard", number, run)

    def _write_all(self, writes: Mapping[Place, Write]) -> None:
        by_process: dict[int, dict[int, int]] = defaultdict(dict)
        for (number, vpn), write in writes.items():
            memory = self._memory.get(number)
            if memory is not None:
                word = self._word(write.content)
                if write.certain or memory.get(vpn) != word:
                    by_process[number][vpn] = memory[vpn] = word
        for number, words in sorted(by_process.items()):
            for run in self._runs(number, words):
                content = Words(run.first, tuple(words[vpn] for vpn in run.vpns))
                self._reach("fill", number, run, content=content)

    def _has(self, place: Place) -> bool:
        return place[1] in self._memory.get(place[0], ())

    def _word(self, content: Content) -> int:
        content = content.resolve()
        checksum = content.known_checksum()
        if checksum is None:
            return self._unknown.setdefault(content, _UNKNOWN | len(self._unknown))
        return 0 if checksum in _ZERO_CHECKSUMS else _KNOWN | checksum

    def _runs(self, number: int, vpns: Iterable[int]) -> Iterable[Run]:
        return self._layouts[self._reader.processes[number].root.number].runs(vpns)

    def _reach(self, op: str, number: int, run: Run, **more: object) -> None:
        reach = {"region": run.region, "first": run.first, "pages": len(run.vpns)}
        self._add(op, process=_name(number), **reach, **more)

    def _add(self, op: str, **arguments: Any) -> None:  # noqa: ANN401 - as steps have them
        self._steps.append(Step(op, arguments))


def _layouts(reader: CaptureReader) -> dict[int, Layout]:
    """The regions of each family of forked processes, by its oldest member."""
    vpns: dict[int, set[int]] = defaultdict(set)
    for process in reader.processes:
        vpns[process.root.number] |= set()
    for number, vpn in (*reader.before, *_places(reader.intervals)):
        vpns[reader.processes[number].root.number].add(vpn)
    return {number: Layout(those) for number, those in vpns.items()}


def _places(intervals: Iterable[Interval]) -> Iterable[Place]:
    for interval in intervals:
        yield from interval.written


def _of(writes: Mapping[Place, Write], numbers: set[int]) -> dict[Place, Write]:
    return {place: write for place, write in writes.items() if place[0] in numbers}


def _name(number: int) -> str:
    return f"p{number}"
