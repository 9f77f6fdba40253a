"""`why` of a real process whose pages differ in planted fields: found, and named right."""

import json
import subprocess
import sys

import pytest

from support.command import ksmtrace

FAMILY, RANDOM = 60, 500

PLANTER = """
import ctypes, mmap, os, struct, sys, time
family, alone = int(sys.argv[1]), int(sys.argv[2])
pages = 2 * family + alone
memory = mmap.mmap(-1, pages * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
memory[:] = os.urandom(pages * 4096)
real, monotonic = time.time_ns(), time.monotonic_ns()
template = os.urandom(4096)
for at in range(family):
    page = bytearray(template)
    struct.pack_into("<Q", page, 0x40, address + 4096 * at + 8)
    struct.pack_into("<Q", page, 0x100, real // 1000 - 1000 * at)
    struct.pack_into("<Q", page, 0x200, 7 + at)
    memory[at * 4096 : (at + 1) * 4096] = bytes(page)
other = os.urandom(4096)
for at in range(family, 2 * family):
    page = bytearray(other)
    struct.pack_into("<I", page, 0x804, real // 10**9 - at)
    page[0xC00:0xC08] = b"name%04d" % at
    memory[at * 4096 : (at + 1) * 4096] = bytes(page)
memory.madvise(mmap.MADV_MERGEABLE)
print(f"{address:x}-{address + pages * 4096:x}", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def planter():
    """A process with two families of pages that are nearly equal, amid random ones."""
    command = [sys.executable, "-c", PLANTER, str(FAMILY), str(RANDOM)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield child.pid, child.stdout.readline().strip()
    child.kill()
    child.communicate()


def check(planter):
    pid, addresses = planter
    ran = ksmtrace("why", pid, addresses, "--every", "0.05", "--json")
    found = json.loads(ran.stdout)["near"]
    assert (found["asked_pages"], found["near_pages"]) == (2 * FAMILY + RANDOM, 2 * FAMILY)
    shapes = sorted(found["shapes"], key=lambda shape: shape["differences"][0]["offset"])
    assert [shape["pages"] for shape in shapes] == [FAMILY, FAMILY]
    told = [
        [(one["offset"], one["length"], one["kind"]) for one in shape["differences"]]
        for shape in shapes
    ]
    assert told == [
        [(0x40, 8, "pointer"), (0x100, 8, "time"), (0x200, 8, "counter")],
        [(0x804, 4, "time"), (0xC00, 8, "text")],
    ]
    assert all(one["monotone"] for one in shapes[0]["differences"])
    details = [one["detail"] for shape in shapes for one in shape["differences"]]
    assert details[:4] == ["into anonymous memory", "realtime us", "", "realtime s, 4 bytes"]


@pytest.mark.live
def test_the_text_has_all_sections(planter):
    pid, addresses = planter
    ran = ksmtrace("why", pid, addresses, "--every", "0.05", "--pages", "--show-bytes")
    assert (ran.returncode, ran.stderr) == (0, "")
    for title in (
        *("Why it does not merge", "Mapping by mapping", "What keeps unique pages apart"),
        *("Where they differ", "Page by page"),
    ):
        assert title in ran.stdout
    assert f"{2 * FAMILY} of {2 * FAMILY + RANDOM} unique pages differ from" in ran.stdout
    assert "pointer into anonymous memory, monotone [" in " ".join(ran.stdout.split())


@pytest.mark.live
def test_planted_fields_here(planter):
    check(planter)


@pytest.mark.guest
def test_planted_fields_in_a_guest(planter):
    check(planter)
