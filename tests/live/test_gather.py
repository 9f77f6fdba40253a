"""What BPF gathers of ksmd's batches holds every page that the kernel says it examined."""

import ctypes
import time

import pytest

from ksmtrace.kernel.btf import Btf, load_libbpf
from ksmtrace.kernel.host import find_ksmd
from ksmtrace.sources.live.capabilities import Capabilities
from ksmtrace.sources.live.gathered.chunk import (
    GATHERED,
    ChunkFlag,
    SmartScan,
    count_items,
    read_words,
)
from ksmtrace.sources.live.plan import make_plan
from ksmtrace.sources.live.probe_table import PROBES
from ksmtrace.sources.live.program import RING_BYTES, Program
from ksmtrace.sources.live.ring import open_ring

pytestmark = pytest.mark.guest

PAGES = 400
VERIFIED_MOST = 250_000
"""A quarter of BPF_COMPLEXITY_LIMIT_INSNS: another kernel's verifier may follow more."""
_INFO_BYTES, _VERIFIED_AT = 220, 216
"""struct bpf_prog_info up to verified_insns (5.16), and where it is."""


def verified_instructions(descriptor):
    """How many instructions the verifier followed before it let a program in; None before 5.16."""
    info, size = ctypes.create_string_buffer(_INFO_BYTES), ctypes.c_uint32(_INFO_BYTES)
    assert not load_libbpf().bpf_obj_get_info_by_fd(descriptor, info, ctypes.byref(size))
    if size.value < _INFO_BYTES:
        return None
    return int.from_bytes(info.raw[_VERIFIED_AT:_INFO_BYTES], "little")


class Gatherer:
    """The programs alone, and what they have sent."""

    def __init__(self, hidden=()):
        specs = [spec for candidates in PROBES.values() for spec in candidates]
        kernel = Capabilities(Btf(), specs, hidden=hidden)
        self.program = Program(make_plan(kernel, "gather"), find_ksmd())
        self.ring = open_ring(self.program, RING_BYTES)
        self.batches, self.passes, self.listed = [], {}, 0
        self.examined = self.skipped = 0
        self.flags = ChunkFlag(0)

    def drain(self):
        """Take in all that is in the ring."""
        while self._take_in(self.ring.drain()):
            pass

    def _take_in(self, drained):
        words_of_chunks = iter(drained.words)
        for header in drained.events[drained.events["kind"] == GATHERED]:
            words, flags = next(words_of_chunks), ChunkFlag(int(header["flags"]))
            assert header["err"] == 0
            assert count_items(words) == header["oldchecksum"]
            self.flags |= flags
            if flags & ChunkFlag.INVENTORY:
                self.listed += int(header["oldchecksum"])
                continue
            if flags & ChunkFlag.LAST and not flags & ChunkFlag.LEAVING:
                self.batches.append(int(header["mm"]))
            walk = read_words(words)
            seqnr = int(header["address"])
            self.passes[seqnr] = self.passes.get(seqnr, 0) + len(walk.vpn)
            # `run` was written amid the batch: whether smart scan, on all the while, passed over an
            # item, its age says
            written = header["checksum"] & SmartScan.TUNABLE_WRITTEN
            skipped = walk.passed_over if written else walk.skipped
            self.skipped += int(skipped.sum())
            self.examined += int((~skipped).sum())
        return drained.more

    def close(self):
        self.ring.close()
        self.program.close()


@pytest.fixture(params=[(), ("bpf_rdonly_cast",)], ids=["best", "by reads"])
def gatherer(request, ksm):
    found = Gatherer(request.param)
    yield found
    found.close()


def stop(ksm, gatherer):
    """Let ksmd come to rest, with all of its last batch sent."""
    ksm.write("run", 0)
    time.sleep(0.2)
    gatherer.drain()


def test_the_verifier_has_little_to_follow(gatherer):
    """What it follows takes its time and the host's memory: 850,000 took 600 MiB on 7.2."""
    loaded = gatherer.program.loaded
    followed = {name: verified_instructions(one.descriptor) for name, one in loaded.items()}
    assert followed
    if None in followed.values():
        pytest.skip("this kernel does not tell (5.16)")
    assert {name: count for name, count in followed.items() if count > VERIFIED_MOST} == {}


def test_each_examined_page_is_in_a_batch(ksm, processes, gatherer):
    """Equal to pages_scanned and pages_skipped where the kernel counts them, and each pass to what
    there is; with batches smaller and larger than a process and than a pass, and without sleep."""
    for name, content in (("twins", "twin:1"), ("others", "twin:1"), ("unique", "unique:1")):
        processes.spawn(name)
        processes.do(name, "map", region="r", pages=PAGES)
        processes.do(name, "fill", region="r", content=content)
        processes.do(name, "mergeable", region="r")
    counters = [name for name in ("pages_scanned", "pages_skipped") if ksm.has(name)]
    counted = {name: ksm.counter(name) for name in counters}
    for pages_to_scan, sleep_millisecs in ((100, 5), (5000, 5), (1000, 0)):
        ksm.write("pages_to_scan", pages_to_scan)
        ksm.write("sleep_millisecs", sleep_millisecs)
        before = ksm.counter("full_scans")
        ksm.write("run", 1)
        while ksm.counter("full_scans") < before + 6:
            time.sleep(0.02)
            gatherer.drain()
        stop(ksm, gatherer)
    assert gatherer.program.lost() == 0
    assert gatherer.batches == list(range(gatherer.batches[0], gatherer.batches[-1] + 1))
    whole = list(gatherer.passes.values())[1:-1]
    assert len(whole) >= 15
    assert set(whole) == {3 * PAGES}
    found = {"pages_scanned": gatherer.examined, "pages_skipped": gatherer.skipped}
    for name in counters:
        assert found[name] == ksm.counter(name) - counted[name]
    assert ChunkFlag.PASS_ENDED | ChunkFlag.FROM_HEAD in gatherer.flags
    ksm.write("run", 2)
    ksm.write("run", 1)
    before = ksm.counter("full_scans")
    while ksm.counter("full_scans") < before + 2:
        time.sleep(0.02)
    stop(ksm, gatherer)
    assert ChunkFlag.RESET in gatherer.flags
