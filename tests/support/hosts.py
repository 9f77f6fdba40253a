"""Random hosts whose processes come, merge pages and go: as events, and as plain sets beside
them."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import strategies as st

from ksmtrace.events import EventKind, Flag
from support.runs import (
    EMPTY,
    FREED,
    IN_STABLE,
    TO_STABLE,
    TO_UNSTABLE,
    appended,
    examined,
    exit_of,
    process,
    removed,
)
from support.streams import sample

MMS, NODES = 3, 4


@dataclass
class Host:
    """What happened so far.

    Attributes:
        rows: the events.
        lives: for each process ever, its mm; `alive` has the number of the one that has an mm now.
        items: by address, its process and its node (0: none).
        counts: by (process, what), how often.
    """

    rows: list[dict] = field(default_factory=lambda: list(EMPTY))
    lives: list[int] = field(default_factory=list)
    alive: dict[int, int] = field(default_factory=dict)
    items: dict[int, list[int]] = field(default_factory=dict)
    counts: Counter = field(default_factory=Counter)

    def enter(self, mm: int) -> None:
        if mm in self.alive or any(self.lives[life] == mm for life, _ in self.items.values()):
            return
        self.alive[mm] = len(self.lives)
        self.lives.append(mm)
        self.rows += [
            {"kind": EventKind.MM_ENTER, "mm": mm},
            process(mm, 100 + self.alive[mm], b"p"),
        ]

    def leave(self, mm: int) -> None:
        if self.alive.pop(mm, None) is not None:
            self.rows.append(exit_of(mm))

    def page(self, mm: int) -> None:
        if mm in self.alive:
            address = next(n for n in range(64, 6400, 64) if n not in self.items)
            self.items[address] = [self.alive[mm], 0]
            self._examined(address, 0, new=5)

    def join(self, address: int, node: int) -> None:
        life, before = self.items[address]
        if before or self.lives[life] not in self.alive:
            return
        sharers = self.sharers()[node]
        self.items[address][1] = node
        self.counts[life, "joined"] += 1
        self.rows.append(appended(address, 9000 + node, new=not sharers, mm=self.lives[life]))
        self._examined(address, TO_STABLE, node=9000 + node)

    def part(self, address: int) -> None:
        life, node = self.items[address]
        if node and self.lives[life] in self.alive:
            self.items[address][1] = 0
            self.rows.append(removed(address, IN_STABLE, mm=self.lives[life]))
            self._examined(address, TO_UNSTABLE)

    def free(self, address: int) -> None:
        life, node = self.items.pop(address)
        flags = FREED | (IN_STABLE if node else 0)
        self.rows.append(removed(address, flags, mm=self.lives[life]))

    def write(self, mm: int, spent_ns: int, flags: int) -> None:
        if mm in self.alive:
            self.counts[self.alive[mm], "kernel" if flags else "user"] += 1
            self.counts[self.alive[mm], "ns"] += 0 if flags else spent_ns
            fault = {"kind": EventKind.COW_FAULT, "mm": mm, "aux": spent_ns, "flags": flags}
            self.rows.append(fault)

    def work(self, ns: int) -> None:
        self.counts["cpu"] += ns
        self.rows += sample(ts=len(self.rows) + 1, ksmd_cpu_ns=self.counts["cpu"])

    def sharers(self) -> Counter:
        return Counter(node for _, node in self.items.values() if node)

    def credit(self, life: int) -> Fraction:
        """Pages saved by one process."""
        sharers = self.sharers()
        nodes = [node for owner, node in self.items.values() if owner == life and node]
        return sum((Fraction(sharers[node] - 1, sharers[node]) for node in nodes), Fraction(0))

    def _examined(self, address: int, flags: int, **more: int) -> None:
        life = self.items[address][0]
        self.counts[life, "examined"] += 1
        self.rows.append(examined(address, flags, mm=self.lives[life], **more))


@st.composite
def hosts(draw: Callable) -> Host:
    """A host after up to 60 things have happened."""
    host = Host()
    mm, node = st.integers(1, MMS), st.integers(1, NODES)
    for _ in range(draw(st.integers(0, 60))):
        kinds = ["enter", "enter", "page", "page", "write", "work", "leave"]
        kinds += ["join", "join", "join", "part", "free"] if host.items else []
        kind = draw(st.sampled_from(kinds))
        if kind in ("join", "part", "free"):
            address = draw(st.sampled_from(sorted(host.items)))
            getattr(host, kind)(*((address, draw(node)) if kind == "join" else (address,)))
        elif kind == "write":
            host.write(
                draw(mm), draw(st.integers(0, 9999)), draw(st.sampled_from((0, Flag.BY_KERNEL)))
            )
        elif kind == "work":
            host.work(draw(st.integers(0, 10**9)))
        else:
            getattr(host, kind)(draw(mm))
    return host


def cuts_of(host: Host) -> st.SearchStrategy[list[int]]:
    """Where to cut its rows."""
    return st.lists(st.integers(1, len(host.rows)), max_size=12, unique=True)
