"""What `estimate` foretells of real processes, against the kernel's gauges once settled."""

import random
from contextlib import contextmanager

import pytest

from ksmtrace.cli.estimate import read_host
from ksmtrace.estimate.estimate import ADVISED, Wishes, estimate
from ksmtrace.estimate.targets import find_targets
from ksmtrace.model.verdict import CORE_WORTH_BYTES

CONTENTS = ("zero", "byte:97", "twin:1", "twin:1", "twin:2", "unique:1", "unique:2", "unique:3")
LIMITS = (2, 5, 256)
GAUGES = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile", "ksm_zero_pages")
PASSES = 8
POPULATIONS = 20


class Population:
    """Processes with memory of all kinds, drawn by a number; some of it is written to by `stir`."""

    def __init__(self, processes, number):
        self.processes = processes
        self.draw = random.Random(number)
        self.names, self.changing, self.turn = [], [], 0
        for at in range(self.draw.randint(2, 4)):
            self.names.append(f"p{at}")
            processes.spawn(f"p{at}")
            for region in range(self.draw.randint(1, 4)):
                self.region(f"p{at}", f"r{region}")
        for at in range(self.draw.randint(0, 2)):
            processes.do(self.draw.choice(self.names), "fork", child=f"f{at}")
            self.names.append(f"f{at}")

    def region(self, process, region):
        huge = self.draw.random() < 0.15
        pages = 512 if huge else self.draw.randint(1, 120)
        do, content = self.processes.do, self.draw.choice(CONTENTS)
        do(process, "map", region=region, pages=pages, huge=huge)
        do(process, "fill", region=region, content=content)
        if region == "r0" or self.draw.random() < 0.85:
            do(process, "mergeable", region=region)
        if not huge and self.draw.random() < 0.3:
            self.changing.append((process, region, self.draw.randint(1, pages)))

    def stir(self):
        """Change what changes, in its own process: a page of a fork's becomes its own so."""
        self.turn = self.turn % 250 + 1
        for process, region, pages in self.changing:
            self.processes.do(
                process, "poke", region=region, first=0, pages=pages, offset=99, value=self.turn
            )

    @property
    def pids(self):
        return [self.processes.pids[name] for name in self.names]


def foretold(pids, stir=lambda: None):
    """The gauges that are foretold of processes; `stir` is called before each look."""

    @contextmanager
    def between(_what, _pages):
        stir()
        yield lambda _: None

    host = read_host(CORE_WORTH_BYTES)
    wishes = Wishes(looks=2, every=0.01, advised_only=True)
    found = estimate(find_targets(pids), wishes, host, lambda: False, between)
    assert found.complete
    assert found.share == 1
    zero = host.tunables["use_zero_pages"] == "1"
    return found.forecasts[ADVISED, zero].gauges


def check(ksm, processes, numbers):
    for number in numbers:
        ksm.write("run", 2)
        ksm.write("max_page_sharing", LIMITS[number % 3])
        ksm.write("use_zero_pages", number // 3 % 2)
        if ksm.has("smart_scan"):
            ksm.write("smart_scan", 0)
        population = Population(processes, number)
        population.stir()
        expected = foretold(population.pids, population.stir)
        ksm.start_stepping()
        for _ in range(PASSES):
            ksm.scan(1)
            population.stir()
        ksm.scan(1)
        came = {name: ksm.counter(name) for name in GAUGES if ksm.has(name)}
        assert {name: expected[name] for name in came} == came, (number, expected, came)
        ksm.write("run", 2)
        for name in population.names:
            processes.exit(name)


@pytest.mark.live
def test_the_forecast_comes_true_here(ksm, processes):
    check(ksm, processes, range(POPULATIONS))


@pytest.mark.guest
def test_the_forecast_comes_true_in_a_guest(ksm, processes, scaled):
    check(ksm, processes, range(scaled(POPULATIONS)))


@pytest.mark.live
def test_zero_pages_that_are_placed_already_are_saved_too(ksm, processes):
    if not ksm.has("ksm_zero_pages"):
        pytest.skip("this kernel does not count them")
    ksm.start_stepping()
    ksm.write("use_zero_pages", 1)
    processes.spawn("a")
    for region, content in (("zero", "zero"), ("more", "unique:3")):
        processes.do("a", "map", region=region, pages=30)
        processes.do("a", "fill", region=region, content=content)
        processes.do("a", "mergeable", region=region)
    ksm.scan(3)
    assert ksm.counter("ksm_zero_pages") == 30
    processes.do("a", "fill", region="more", content="zero")
    expected = foretold([processes.pids["a"]])
    ksm.scan(4)
    assert expected["ksm_zero_pages"] == ksm.counter("ksm_zero_pages") == 60
