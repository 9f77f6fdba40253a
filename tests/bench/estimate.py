"""Measures `estimate`: its speed beside the least that reading takes, and its intervals.

    .venv/bin/python tests/bench/estimate.py speed [MIB]       of a population, 1024 MiB by itself
    .venv/bin/python tests/bench/estimate.py slowing [MIB]     of the process that is read
    .venv/bin/python tests/bench/estimate.py intervals [RUNS]  of a simulated host of 10 M pages

Speed is pages per CPU second of two whole looks, forecast included. The floor, in the same run, is
process_vm_readv of the same pages as often, and one XXH3 over each piece. The process that is read
goes through its memory again and again: what it loses is told by its rounds a CPU second.
"""

import mmap
import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np
import xxhash

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from ksmtrace.cli.estimate import read_host
from ksmtrace.estimate.estimate import Wishes, estimate
from ksmtrace.estimate.targets import find_targets
from ksmtrace.estimate.unseen import Interval, left_interval
from ksmtrace.kernel.page_contents import _VIEW, PageReader
from ksmtrace.model.verdict import CORE_WORTH_BYTES

LOOKS = 2
HOST_PAGES = 10_000_000


def holder(mebibytes, rounds=None):
    """A process with so much memory: an eighth zeroes, a quarter in pairs, the rest unique.

    With `rounds`, an array that is shared, it goes through it again and again, and counts there.
    """
    ready, told = os.pipe()
    if (pid := os.fork()) == 0:
        memory = mmap.mmap(-1, mebibytes << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        words = np.frombuffer(memory, dtype=np.uint64)
        count = len(words) // 512
        numbers = np.arange(count, dtype=np.uint64)
        numbers[: count // 8] = 0
        numbers[count // 8 : 3 * count // 8] //= 2
        words[::512] = numbers
        os.write(told, b"%d" % words.ctypes.data)
        while rounds is not None:
            words[::512].sum()
            rounds[0] += 1
        signal.pause()
    return pid, int(os.read(ready, 32))


def cpu_of(action):
    """CPU time of an action in seconds, its system time included."""
    before = time.process_time()
    action()
    return time.process_time() - before


def speed(mebibytes):
    """Pages per CPU second, the floor's, and their ratio."""
    pid, address = holder(mebibytes)
    try:
        count = (mebibytes << 20) // mmap.PAGESIZE
        addresses = np.uint64(address) + np.arange(count, dtype=np.uint64) * mmap.PAGESIZE
        exclusive = np.ones(count, dtype=np.bool_)
        host = read_host(CORE_WORTH_BYTES)

        def floor():
            with PageReader(pid) as reader:
                for _ in range(LOOKS):
                    for _, pages in reader.pieces(addresses, exclusive):
                        xxhash.xxh3_64_intdigest(_VIEW[: len(pages) * mmap.PAGESIZE])

        def ours():
            wishes = Wishes(looks=LOOKS, every=0.0)
            found = estimate(find_targets([pid]), wishes, host, lambda: False, quiet)
            assert found.complete
            assert found.rows[0].looked_at >= count

        rounds = [(cpu_of(floor), cpu_of(ours)) for _ in range(5)]
        least, own = (sorted(times)[2] for times in zip(*rounds, strict=True))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"{count:,} pages, {LOOKS} looks: {LOOKS * count / own / 1e6:.2f} M pages a CPU second,"
            f" floor {LOOKS * count / least / 1e6:.2f}, ratio {least / own:.2f}; peak {peak} MiB"
        )
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def slowing(mebibytes):
    """What a process loses that is read without pause, by its rounds a CPU second."""
    rounds = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), dtype=np.uint64)
    rounds = np.array(rounds, copy=False)
    pid, _ = holder(mebibytes, rounds)
    host = read_host(CORE_WORTH_BYTES)
    try:

        def rate(action):
            before = int(rounds[0]), _cpu_seconds(pid)
            action()
            return (int(rounds[0]) - before[0]) / (_cpu_seconds(pid) - before[1])

        def read():
            wishes = Wishes(looks=10, every=0.0)
            assert estimate(find_targets([pid]), wishes, host, lambda: False, quiet).complete

        pairs = [(rate(lambda: time.sleep(3)), rate(read)) for _ in range(3)]
        alone, being_read = (sorted(rates)[1] for rates in zip(*pairs, strict=True))
        print(f"a process that is read makes {being_read / alone:.3f} of its rounds a CPU second")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _cpu_seconds(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0]) / 1e9


class quiet:  # noqa: N801 - a context manager in place of a bar
    """No progress."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return lambda _: None

    def __exit__(self, *_):
        pass


def host_of_pages():
    """Frames of each content of a host: unique ones, pairs, templates, and a few of everybody."""
    random = np.random.default_rng(7)
    sizes = [
        np.ones(5_000_000, dtype=np.int64),
        np.full(800_000, 2),
        random.integers(3, 12, 200_000),
        random.integers(20, 200, 8_000),
        np.array([700_000, 120_000, 60_000]),
    ]
    found = np.concatenate(sizes)
    return np.concatenate([found, np.ones(HOST_PAGES - int(found.sum()), dtype=np.int64)])


def intervals(runs):
    """How often the interval holds the truth, its width, and what plain scaling says."""
    sizes = host_of_pages()
    frames = int(sizes.sum())
    saved = frames - len(sizes)
    print(f"{frames:,} pages, {saved / frames:.1%} would be saved")
    for share in (0.01, 0.05, 0.2):
        held, widths, scaled = 0, [], []
        for seed in range(runs):
            found = np.random.default_rng(seed).binomial(sizes, share)
            found = found[found > 0]
            left = left_interval(found, share, Interval(frames, frames), np.ones_like)
            low, high = frames - left.high, frames - left.low
            held += low <= saved <= high
            widths.append((high - low) / frames)
            scaled.append((int(found.sum()) - len(found)) / share / frames)
        print(
            f"share {share:.0%}: holds in {held} of {runs}, width {np.median(widths):.1%} of memory"
            f"; plain scaling says {np.median(scaled):.1%}, "
            f"{np.ptp(scaled):.2%} wide, and is {saved / frames - np.median(scaled):.1%} off"
        )


if __name__ == "__main__":
    what, *number = sys.argv[1:] or ["speed"]
    {"speed": speed, "slowing": slowing, "intervals": intervals}[what](
        int(number[0]) if number else {"speed": 1024, "slowing": 256, "intervals": 100}[what]
    )
