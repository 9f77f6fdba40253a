"""The experiments of the golden logs, A to L, on the engine: it prints what kernels printed."""

import re
from pathlib import Path

import pytest

from ksmtrace.engine.engine import Engine

COUNTERS = {
    "scans": "full_scans",
    "scanned": "pages_scanned",
    "shared": "pages_shared",
    "sharing": "pages_sharing",
    "unshared": "pages_unshared",
    "volatile": "pages_volatile",
    "skipped": "pages_skipped",
    "zero": "ksm_zero_pages",
    "chains": "stable_node_chains",
    "dups": "stable_node_dups",
    "profit": "general_profit",
}
"""The log's short names; -999 stands for a file that the kernel does not have."""

_COUNTERS = re.compile(r"  (?P<title>.*?)\s+(?P<fields>scans=.*)")
_PROCESS = re.compile(r"    (?P<title>\[.*\] self ksm_stat): (?P<fields>.*)")
_DATA = Path(__file__).parent / "data"

READINGS = {"5.10": 69, "6.1": 72, "6.12": 74}
"""How many readings the log of a kernel has: all of them are understood."""


def repeated(byte):
    """Contents of pages that repeat one byte."""
    return lambda _index: bytes([byte]) * 4096


class Experiment:
    """The experiments on a kernel of this release, in process "p"; `lines` is what is printed."""

    def __init__(self, release):
        self.release = release
        self.engine = Engine(f"ksm-{release}", {"pages_to_scan": 100000})
        self.engine.spawn("p")
        self.of_process = per_process(release)
        self.lines = []
        self.regions = 0

    def run(self, full_scans, pages_scanned):
        self.reset()
        for name in "abcdefghijk":
            getattr(self, name)()
        self.last(full_scans, pages_scanned)

    def show(self, title):
        counters = self.engine.counters()
        values = {short: counters[name] for short, name in COUNTERS.items()}
        absent = "cow_ksm" in self.engine.variant.absent_counters
        cow = None if absent else self.engine.memory.cow_ksm
        shown = {**values, "cow": cow}
        self.lines.append(
            (title, {name: -999 if value is None else value for name, value in shown.items()})
        )

    def show_process(self, title):
        """/proc/<pid>/ksm_stat of the parent, as far as this kernel has it."""
        mm = self.engine.processes["p"].mm
        saved = (mm.ksm_merging_pages + len(mm.ksm_zero)) * 4096
        values = {
            "ksm_rmap_items": mm.ksm_rmap_items,
            "ksm_zero_pages": len(mm.ksm_zero),
            "ksm_merging_pages": mm.ksm_merging_pages,
            "ksm_process_profit": saved - mm.ksm_rmap_items * 64,
        }
        shown = {name: values[name] for name in self.of_process}
        if shown:
            self.lines.append((f"[{title}] self ksm_stat", shown))

    def passes(self, count, title):
        for number in range(1, count + 1):
            grown = self.engine.scan_passes(1)
            self.show(f"{title} pass {number} (+{grown})")

    def reset(self):
        self.engine.write_run(2)
        self.engine.write_run(0)
        self.engine.write_tunable("max_page_sharing", 256)
        self.engine.write_tunable("use_zero_pages", 0)
        self.smart_scan(0)

    def smart_scan(self, value):
        if "smart_scan" in self.engine.ksm.variant.absent_tunables:
            return False
        self.engine.write_tunable("smart_scan", value)
        return True

    def memory(self, pages, byte):
        self.regions += 1
        region = f"r{self.regions}"
        self.engine.map("p", region, pages)
        self.engine.fill("p", region, 0, pages, repeated(byte))
        return region

    def mergeable(self, pages, byte):
        region = self.memory(pages, byte)
        self.engine.mergeable("p", region, 0, pages)
        return region

    def a(self):
        self.p = self.memory(12, ord("a"))
        self.engine.fill("p", self.p, 10, 1, repeated(ord("u")))
        self.engine.fill("p", self.p, 11, 1, repeated(0))
        self.engine.mergeable("p", self.p, 0, 12)
        self.show("before")
        self.passes(4, "A")
        self.show_process("A")

    def b(self):
        self.engine.poke("p", self.p, 0, 1, 0, ord("b"))
        self.show("B after write")
        self.passes(3, "B")

    def c(self):
        self.q = self.mergeable(1, ord("a"))
        self.passes(3, "C")

    def d(self):
        self.engine.fork("p", "child")
        self.passes(3, "D")
        self.show_process("parent")
        self.engine.exit("child")
        self.show("D child dead")
        self.passes(2, "D2")

    def e(self):
        self.engine.unmap("p", self.p, 0, 12)
        self.engine.unmap("p", self.q, 0, 1)
        self.show("E after munmap")
        self.passes(2, "E")

    def f(self):
        region = self.mergeable(4, ord("x"))
        self.passes(3, "F")
        self.engine.write_run(2)
        self.show("F run=2")
        self.engine.write_run(0)
        self.passes(3, "F re-run")
        self.engine.unmergeable("p", region, 0, 4)
        self.show("F2 after")
        self.passes(1, "F2")
        self.engine.unmap("p", region, 0, 4)
        self.passes(1, "F2 unmap")

    def g(self):
        for name, sharing in (("G", 2), ("G3", 3)):
            self.reset()
            self.engine.write_tunable("max_page_sharing", sharing)
            region = self.mergeable(7, ord("m"))
            self.passes(4, name)
            self.engine.unmap("p", region, 0, 7)
            if name == "G":
                self.show("G unmap")
            self.passes(2, f"{name} unmap")

    def h(self):
        self.reset()
        self.engine.write_tunable("use_zero_pages", 1)
        region = self.memory(5, 1)
        self.engine.fill("p", region, 0, 5, repeated(0))
        self.engine.mergeable("p", region, 0, 5)
        self.passes(3, "H")
        self.show_process("H")
        self.engine.poke("p", region, 0, 1, 0, 1)
        self.show("H after write 1")
        self.passes(1, "H")
        self.engine.unmergeable("p", region, 0, 5)
        self.show("H unmergeable")
        self.engine.unmap("p", region, 0, 5)
        self.passes(1, "H end")

    def i(self):
        self.reset()
        if not self.smart_scan(1):
            return
        region = self.mergeable(1, ord("s"))
        fates = []
        for number in range(1, 61):
            before = self.engine.counters()["pages_skipped"]
            self.engine.scan_passes(1)
            skipped = self.engine.counters()["pages_skipped"] != before
            fates.append(f"{number}:{'SKIP' if skipped else 'scan'}")
        self.lines.append(("I", fates))
        self.show("I end")
        self.engine.unmap("p", region, 0, 1)

    def j(self):
        self.reset()
        region = self.mergeable(2, ord("v"))
        for number in range(4):
            self.engine.poke("p", region, 0, 1, 0, number)
            self.engine.poke("p", region, 1, 1, 0, 100 + number)
            self.passes(1, "J")
        self.engine.unmap("p", region, 0, 2)
        self.passes(1, "J end")

    def k(self):
        self.reset()
        region = self.mergeable(2, ord("k"))
        self.passes(3, "K")
        self.engine.fork("p", "child")
        self.passes(2, "K forked")
        self.engine.poke("p", region, 0, 1, 0, ord("z"))
        self.engine.poke("p", region, 1, 1, 0, ord("y"))
        self.show("K parent wrote both")
        self.passes(3, "K")
        self.engine.exit("child")
        self.passes(2, "K child dead")
        self.engine.unmap("p", region, 0, 2)
        self.passes(1, "K end")

    def last(self, full_scans, pages_scanned):
        """L: page by page; a free-running ksmd came as far as the arguments say."""
        self.reset()
        self.engine.write_tunable("pages_to_scan", 1)
        self.mergeable(3, ord("l"))
        self.engine.scan_passes(full_scans)
        if pages_scanned != -999:
            self.engine.scan_batches(pages_scanned - self.engine.counters()["pages_scanned"])
        self.show("L after >=3 scans")


def per_process(release):
    """The names in /proc/<pid>/ksm_stat, as a log has them; none where there is no such file."""
    lines = (_DATA / f"golden-{release}.log").read_text().splitlines()
    fields = next((found["fields"] for line in lines if (found := _PROCESS.fullmatch(line))), "")
    return [field.split()[0] for field in fields.rstrip(";").split(";") if field]


def golden(release):
    """The lines of a log: (title, {short name: value}) for readings, (title, text) for the rest."""
    lines = []
    for line in (_DATA / f"golden-{release}.log").read_text().splitlines():
        counters, of_process = _COUNTERS.fullmatch(line), _PROCESS.fullmatch(line)
        if counters is not None:
            fields = dict(field.split("=") for field in counters["fields"].split())
            values = {name: int(value) for name, value in fields.items()}
            lines.append((counters["title"], values))
        elif of_process is not None and of_process["fields"]:
            fields = dict(field.split() for field in of_process["fields"].rstrip(";").split(";"))
            values = {name: int(value) for name, value in fields.items()}
            lines.append((of_process["title"], values))
        elif "1:scan" in line:
            lines.append(("I", line.split()))
    return lines


LOGS = sorted(path.stem.removeprefix("golden-") for path in _DATA.glob("golden-*.log"))


def test_the_logs_are_there():
    assert set(READINGS) <= set(LOGS)


@pytest.mark.parametrize("release", LOGS)
def test_every_line_of_the_kernels_log(release):
    expected = golden(release)
    assert len(expected) == READINGS.get(release, len(expected)) >= 69
    experiment = Experiment(release)
    experiment.run(expected[-1][1]["scans"], expected[-1][1]["scanned"])
    for ours, theirs in zip(experiment.lines, expected, strict=True):
        assert ours == theirs


def test_a_log_that_differs_is_noticed():
    experiment = Experiment("6.1")
    experiment.run(3, -999)
    assert experiment.lines != golden("6.12")
    late_twin = [line for line in experiment.lines if line[0] == "C pass 1 (+1)"]
    assert late_twin not in golden("6.12")
