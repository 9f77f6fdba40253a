"""Whatever a file of the kernel holds or fails with, the worst is a figure less, which is named."""

import contextlib
import errno
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings

from ksmtrace.errors import HostError
from ksmtrace.events import Gauge, ProcessGauge
from ksmtrace.events.batch import EventBatch
from ksmtrace.events.readings import ReadingTracker
from ksmtrace.kernel import files
from ksmtrace.kernel.anonymous import private_mappings
from ksmtrace.kernel.files import UNREAD, UnreadError, load_bytes, load_number, number
from ksmtrace.kernel.host import find_ksmd
from ksmtrace.kernel.mergeable import find_mergeable
from ksmtrace.kernel.pagemap import KsmPageReader
from ksmtrace.kernel.processes import read_ksm_stat
from ksmtrace.kernel.sysfs import (
    CounterReader,
    read_tunables,
    require_number,
)
from ksmtrace.sources.live.counter_samples import CounterSamples
from ksmtrace.sources.live.tunables_reader import TunablesReader
from support.odd_files import (
    ABSENT,
    DIRECTORY,
    FAILING,
    LOOP,
    USUAL,
    no_descriptors,
    read_everything,
    trees,
    write,
)

KSM = "sys/kernel/mm/ksm"


@pytest.fixture(autouse=True)
def fresh_ledger():
    UNREAD.clear()
    yield
    UNREAD.clear()


def test_the_usual_tree_is_read_whole(tmp_path):
    told = read_everything(write(tmp_path, USUAL))
    assert told["counters"].values == {
        Gauge.PAGES_SHARED: 3, Gauge.PAGES_SHARING: 4, Gauge.GENERAL_PROFIT: -4096,
        Gauge.COW_KSM: 77, Gauge.KSMD_CPU_NS: 123456789,
    }  # fmt: skip
    assert (told["ksmd"], told["mergeable"], told["rest"]) == (41, [50], 812)
    assert (told["vm"], told["cgroup"]) == ("web", "/machine.slice/b")
    assert told["counters"].failed == {}
    assert UNREAD.lines() == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=trees())
def test_no_reader_fails_and_what_failed_is_named(tmp_path, tree):
    UNREAD.clear()
    root = write(tmp_path, tree)
    told = read_everything(root)
    said = "\n".join(UNREAD.lines())
    for path, content in tree.items():
        if path.startswith(KSM) and content in (DIRECTORY, LOOP, FAILING):
            assert path.rpartition("/")[2] in said
        if content == ABSENT:
            assert f"{root / path} " not in said
    for gauge, value in told["counters"].values.items():
        assert -(1 << 63) <= value < 1 << 63, gauge
    assert not told["counters"].values.keys() & told["counters"].failed.keys()
    assert all(-(1 << 63) <= one < 1 << 63 for one in told["ksm_stat"].values())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=trees(), after=trees())
def test_a_reading_has_each_counter_that_was_ever_there(tmp_path, before, after):
    """As a stream has it: fresh, or marked with its last value; no change of a tunable is made
    up."""
    root = write(tmp_path, before)
    known = read_tunables(root)
    samples, tunables = CounterSamples(41, root), TunablesReader(known, root)
    first = samples.read()
    samples.records(first)
    write(root, after)
    now = samples.read()
    records = samples.records(now)
    changed = {name for name, text in read_tunables(root).items() if text != known.get(name, text)}
    assert len(tunables.changed()) == len(changed)
    if not len(records):
        assert not first.values
        return
    (reading,) = ReadingTracker().apply(EventBatch(records))
    assert reading.values == now.values
    assert reading.failed == now.failed
    assert first.values.keys() <= reading.values.keys() | reading.failed.keys()
    for record in records[records["err"] != 0]:
        gauge = Gauge(int(record["address"]))
        assert int(record["aux"].astype("<i8")) == first.values.get(gauge, 0)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (FAILING, errno.EIO),
        (LOOP, errno.ELOOP),
        (DIRECTORY, errno.EISDIR),
        (ABSENT, errno.ENOENT),
        (b"many\n", files.NOT_AS_KNOWN),
        (b"18446744073709551616\n", files.NOT_AS_KNOWN),
        (b"", files.NOT_AS_KNOWN),
    ],
)
def test_a_counter_that_fails_later_is_no_counter_that_is_not_there(tmp_path, content, why):
    root = write(tmp_path, USUAL)
    reader = CounterReader(root, 41)
    assert reader.read().failed == {}
    write(root, USUAL | {f"{KSM}/pages_sharing": content})
    now = reader.read()
    assert now.failed == {Gauge.PAGES_SHARING: why}
    assert now.values[Gauge.PAGES_SHARED] == 3
    write(root, USUAL)
    assert reader.read().failed == {}


def test_no_descriptors_left_is_no_fact_about_the_kernel(tmp_path):
    """The 13 invented TUNABLE events of a tracer that 1,100 connections had left no descriptor."""
    root = write(tmp_path, USUAL)
    counters, tunables = CounterReader(root, 41), TunablesReader(read_tunables(root), root)
    known = counters.read().values
    with no_descriptors():
        now = counters.read()
        changed = tunables.changed()
    assert now.values == {}
    assert now.failed == dict.fromkeys(known, errno.EMFILE)
    assert len(changed) == 0
    assert len(tunables.changed()) == 0
    assert f"{root}/{KSM}/run could not be read 1 time (last: EMFILE" in "\n".join(UNREAD.lines())


def test_tunables_that_could_not_be_read_at_first_are_not_written_to_later(tmp_path):
    root = write(tmp_path, USUAL)
    with no_descriptors():
        reader = TunablesReader(read_tunables(root), root)
    assert len(reader.changed()) == 0
    (root / KSM / "run").write_text("2\n")
    assert len(reader.changed()) == 1


@pytest.mark.parametrize("number_of", [errno.EINTR, errno.ENFILE, errno.ENOMEM])
def test_a_read_that_fails_halfway_is_a_failure(tmp_path, monkeypatch, number_of):
    root = write(tmp_path, USUAL)

    class Torn:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def readall(self):
            raise OSError(number_of, "")

    monkeypatch.setattr(files.Path, "open", lambda *_, **__: Torn())
    with pytest.raises(UnreadError) as caught:
        load_bytes(root / KSM / "run")
    assert caught.value.errno == number_of
    assert errno.errorcode[number_of] in UNREAD.lines()[0]


def test_a_process_that_vanishes_amid_reading_is_a_fact():
    """Its files are open already, and reading them gives ESRCH."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path = files.Path(f"/proc/{child.pid}/ksm_stat")
    with path.open("rb") as file:
        child.communicate(b"\n")
        with pytest.raises(ProcessLookupError):
            file.read()
    assert load_bytes(path) is None
    assert read_ksm_stat(child.pid) == {}
    assert UNREAD.lines() == []


def test_numbers_that_the_kernel_prints_unsigned(tmp_path):
    """ksm_zero_pages of 6.6 to 6.9, which falls below 0."""
    stat = b"ksm_rmap_items 5\nksm_zero_pages 18446744073709551615\nksm_merging_pages 2\n"
    root = write(tmp_path, USUAL | {"proc/50/ksm_stat": stat})
    assert read_ksm_stat(50, root)[ProcessGauge.KSM_ZERO_PAGES] == -1
    assert number("9223372036854775808") == -(1 << 63)
    assert number(b"18446744073709551616") is None
    assert [number(text) for text in ("", "-", "1_0", "٣", "+1", "1.0")] == [None] * 6


def test_names_that_are_no_text(tmp_path):
    tree = USUAL | {
        "proc/50/stat": b"50 (\xff\xfe) S 1 0\n",
        "proc/7/stat": b"7 (ksmd) \n",
        "proc/50/smaps": USUAL["proc/50/smaps"] + b"1000-2000 r--s 0 8:1 7 /\xff\nVmFlags: rd\n",
        "proc/50/ksm_stat": b"\xff\xff\nksm_rmap_items\n",
    }
    root = write(tmp_path, tree)
    assert find_ksmd(root) == 41
    assert find_mergeable(root) == [50]
    listed = private_mappings(USUAL["proc/50/maps"].replace(b"r--s", b"r--p"))
    assert [(span.start, span.most_present) for span in listed] == [(0x7F0000000000, 2)]
    name = b"7f0000004000-7f0000005000 rw-p 00000000 00:00 0 [anon:\xff\x85\xe2\x80\xa8 x]\n"
    assert len(private_mappings(USUAL["proc/50/maps"] + name)) == 2


def test_numbers_of_files(tmp_path):
    (tmp_path / "n").write_text(" 12\n")
    assert load_number(tmp_path / "n") == 12
    assert load_number(tmp_path / "absent") is None
    assert load_number(tmp_path / "n/below") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(tree=trees())
def test_the_snapshot_takes_what_it_can(tmp_path, tree):
    root = write(tmp_path, tree)
    with contextlib.suppress(OSError):  # where the files of page frames are not there
        for piece in KsmPageReader(root).pieces():
            assert len(piece.pid) == len(piece.address) == len(piece.pfn)


@pytest.mark.parametrize("content", [ABSENT, DIRECTORY, FAILING, LOOP, b"", b"many\n", b"\xff"])
def test_a_number_that_a_run_cannot_do_without(tmp_path, content):
    root = write(tmp_path, USUAL | {f"{KSM}/pages_shared": content})
    with pytest.raises(HostError, match=r"pages_shared (is missing|cannot be read)"):
        require_number(root / KSM / "pages_shared")
    assert require_number(write(tmp_path, USUAL) / KSM / "pages_shared") == 3
