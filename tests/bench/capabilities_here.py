"""Measures on this kernel which capabilities each way of tracing needs (capabilities.py boots it).

    capabilities_here.py --results RESULTS [WAY...]

A run is `ksmtrace live` in a fork of this process, which has everything imported: a process of its
own would import for a minute in a guest. The fork has the capabilities that are tried, as uid 0 or
as another, and no others in its bounding set. RESULTS/results gets a line for each way: what it
runs with, what root and `others` see all with, what is lost without each, what --drop-capabilities
keeps, and what of that is needed later.
"""

import argparse
import ctypes
import gc
import importlib
import json
import mmap
import os
import pkgutil
import re
import resource
import signal
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}

from capabilities_seen import losses, seen_in

from ksmtrace.cli import main as ksmtrace_main
from ksmtrace.errors import HostError
from ksmtrace.kernel.btf import Btf
from ksmtrace.kernel.host import import_bcc
from ksmtrace.sources.live import program, source
from ksmtrace.sources.live.opening import LiveOptions, plan_of
from ksmtrace.workload.guard import KsmGuard
from support.precompiled import FOLDER, compile_on_host

SECONDS = "3"
WAYS = {
    "sysfs": ("--probes", "sysfs"),
    "tracepoint": ("--probes", "tracepoint"),
    "gather": ("--probes", "gather"),
    "totals": ("--totals",),
    "cow_all": ("--probes", "gather", "--cow", "all"),
    "fentry": ("--probes", "fentry"),
    "kprobe": ("--probes", "kprobe"),
}
NOBODY = 65534
MEMLOCK_BYTES = 8 << 20
"""What systemd gives a service (DefaultLimitMEMLOCK), and Debian a login at least."""
READING = ("SYS_PTRACE", "SYS_ADMIN", "DAC_READ_SEARCH")
LIKELY = (*READING, "SYSLOG", "PERFMON", "BPF")
"""Taken away one by one, in this order: of two sets that are both enough, the one without the
earlier is found. All others are taken away together first, and one by one where that is missed."""

_SET_BOUNDING, _KEEP, _DUMPABLE, _AMBIENT, _RAISE = 24, 8, 4, 47, 2
_libc = ctypes.CDLL(None, use_errno=True)


def import_everything():
    """Import what a fork would: an import takes a second in a guest."""
    for name in ("ksmtrace", "ksmtrace.plugins"):
        package = importlib.import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)


def last_capability():
    """The highest number that this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def names():
    """Numbers of the capabilities that this process has, by name without CAP_."""
    text = Path("/usr/include/linux/capability.h").read_text()
    permitted = int(re.search(r"CapPrm:\s*(\w+)", Path("/proc/self/status").read_text())[1], 16)
    known = re.findall(r"#define CAP_(\w+)\s+(\d+)\s", text)
    return {name: int(number) for name, number in known if permitted >> int(number) & 1}


NUMBERS = names()


def remember_types():
    """Look each member of a struct up once for all forks: what a kernel lacks takes seconds in a
    guest, and everybody may read BTF."""
    known, look = {}, Btf._path

    def path(self, *which):
        if which not in known:
            known[which] = look(self, *which)
        return known[which]

    Btf._path = path
    for options in (LiveOptions(), LiveOptions(totals=True)):
        with suppress(HostError):
            plan_of(options, "")


def become(user, capabilities):
    """Have these capabilities and no others, as this user."""
    wanted = {NUMBERS[name] for name in capabilities}
    for number in range(last_capability() + 1):
        if number not in wanted:
            _libc.prctl(_SET_BOUNDING, number, 0, 0, 0)
    if user:
        _libc.prctl(_KEEP, 1, 0, 0, 0)
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    mask = sum(1 << number for number in wanted)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    sets = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    if _libc.capset(header, sets):
        raise OSError(ctypes.get_errno(), "capset")
    if user:
        for number in wanted:
            _libc.prctl(_AMBIENT, _RAISE, number, 0, 0)
    _libc.prctl(_DUMPABLE, 1, 0, 0, 0)


class Runs:
    """Runs of one way after another, each in a fork."""

    def __init__(self):
        self.count = 0

    def run(self, way, capabilities, *, user=0, drop=False, keep=None):
        """What a run with these capabilities shows (`seen_in`).

        Args:
            way: of `WAYS`.
            user: uid.
            drop: whether with --drop-capabilities.
            keep: what is kept then; None for what ksmtrace keeps.
        """
        self.count += 1
        arguments = ["live", "--once", "--json", "--duration", SECONDS, *WAYS[way]]
        arguments += ["--drop-capabilities"] * drop
        with tempfile.TemporaryDirectory() as scratch:
            os.chmod(scratch, 0o755)
            files = [Path(scratch) / name for name in ("out", "err", "kept")]
            for file in files:
                file.touch(mode=0o666)
                file.chmod(0o666)
            if (pid := os.fork()) == 0:
                self._in_fork(arguments, files, user, capabilities, keep)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            out, err, kept = (file.read_text() for file in files)
        return seen_in(status, out, err), kept.split()

    def _in_fork(self, arguments, files, user, capabilities, keep):
        status = 99
        gc.disable()
        try:
            signal.alarm(600)
            for descriptor, file in zip((1, 2), files[:2], strict=True):
                os.dup2(os.open(file, os.O_WRONLY), descriptor)
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (MEMLOCK_BYTES, MEMLOCK_BYTES))
            os.chdir("/")
            os.umask(0)
            if FOLDER in os.environ:
                program.compile_text = compile_on_host
            real = source.keep_only

            def keep_only(wanted):
                left = set(wanted) if keep is None else {f"CAP_{name}" for name in keep}
                files[2].write_text(" ".join(sorted(name.removeprefix("CAP_") for name in left)))
                real(left)

            source.keep_only = keep_only
            become(user, capabilities)
            status = ksmtrace_main(arguments)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the fork ends here
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            sys.stdout.flush()
            os._exit(status)


def least(everything, good, likely):
    """The least set for which `good` holds, found by taking away; and what is lost without each."""
    needed, lost = set(everything), {}

    def take_away(group):
        found = good(needed - set(group))
        if not found:
            needed.difference_update(group)
        elif len(group) == 1:
            lost[group[0]] = found
        else:
            middle = len(group) // 2
            take_away(group[:middle])
            take_away(group[middle:])

    unlikely = sorted(needed - set(likely))
    for group in [unlikely, *([name] for name in likely)]:
        if needed.intersection(group):
            take_away(list(group))
    return needed, lost


def measure(runs, way):
    """The results for a way, as a JSON object."""
    likely = READING if way == "sysfs" else LIKELY
    whole, _ = runs.run(way, NUMBERS)
    result = {"way": way, "tier": whole.tier, "refused": whole.refusal}
    if whole.refusal:
        return result

    def good(capabilities, **how):
        began = time.monotonic()
        found = losses(whole, runs.run(way, capabilities, **how)[0])
        took = f"{time.monotonic() - began:.0f} s"
        tried = f"{way}, {len(capabilities)} capabilities, {how}"
        print(f"{time.strftime('%X')} {tried}: {found}, {took}", flush=True)
        return found

    runs_with, _ = least(NUMBERS, lambda left: refusal(runs, way, left), likely)
    told(way, "runs with", runs_with, {})
    root, lost = least(NUMBERS, good, likely)
    result |= {"runs_with": sorted(runs_with), "root": sorted(root), "lost": lost}
    told(way, "root", root, lost)
    others, kept, lost_later = set(root), None, {}
    found = good(root, user=NOBODY)
    if found:
        result["lost_by_others"] = found
        others, more = least(NUMBERS, lambda left: good(left, user=NOBODY), likely)
        result["lost_by_others"] = {k: v for k, v in more.items() if k not in root}
    result["others"] = sorted(others)
    told(way, "others", others, result.get("lost_by_others"))
    if way != "sysfs":
        seen, kept = runs.run(way, NUMBERS, drop=True)
        result["dropping"] = losses(whole, seen)
        told(way, "kept", kept, result["dropping"])
        left, lost_later = least(kept, lambda left: good(NUMBERS, drop=True, keep=left), kept)
        result |= {"kept": sorted(kept), "needed_later": sorted(left), "lost_later": lost_later}
        told(way, "needed later", left, lost_later)
    return result


def refusal(runs, way, capabilities):
    """Why a way does not run with these capabilities, as another user than root."""
    seen, _ = runs.run(way, capabilities, user=NOBODY)
    return [seen.refusal] if seen.refusal else []


def told(way, what, capabilities, lost):
    """Print a finding."""
    print(
        f"{time.strftime('%X')} {way}, {what}: {sorted(capabilities)} {json.dumps(lost)}",
        flush=True,
    )


@contextmanager
def merged():
    """KSM at work on equal pages of a process of root's and of one of another user, and on some
    that a third writes to again and again."""
    pids = []
    with KsmGuard(clean=True) as ksm:
        try:
            for name, user, writes in (("ours", 0, 0), ("theirs", 1000, 0), ("writer", 1001, 1)):
                if (pid := os.fork()) == 0:
                    merger(name, user, writes)
                pids.append(pid)
            ksm.write("sleep_millisecs", 100)
            ksm.write("pages_to_scan", 200)
            ksm.write("run", 1)
            while ksm.counter("pages_sharing") < 250 or ksm.counter("full_scans") < 6:
                time.sleep(0.5)
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def merger(name, user, writes):
    """A process that holds 150 pages, equal to those of all the others; never returns."""
    Path("/proc/self/comm").write_text(name)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _libc.prctl(_DUMPABLE, 1, 0, 0, 0)  # its files in /proc are its own, as of what is executed
    pages = [bytes([number + 1]) * mmap.PAGESIZE for number in range(150)]
    memory = mmap.mmap(-1, 150 * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory[:] = b"".join(pages)
    memory.madvise(mmap.MADV_MERGEABLE)
    beat = 0
    while True:
        time.sleep(0.3)
        if writes:
            beat += 1
            for number in range(10):
                at = number * mmap.PAGESIZE
                memory[at : at + mmap.PAGESIZE] = pages[number]
                memory[at] = beat % 2 + 1


def main():
    """Measure the ways that the command line names, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("ways", nargs="*", choices=[*WAYS, []])
    options = parser.parse_args()
    import_bcc()
    import_everything()
    remember_types()
    gc.freeze()
    settings = {
        name: Path("/proc/sys/kernel", name).read_text().strip()
        for name in ("kptr_restrict", "perf_event_paranoid", "unprivileged_bpf_disabled")
    }
    host = {"release": os.uname().release, "settings": settings}
    print(f"{time.strftime('%X')} {host}", flush=True)
    runs = Runs()
    with merged():
        print(f"{time.strftime('%X')} merged", flush=True)
        for way in options.ways or WAYS:
            result = measure(runs, way) | host
            print(f"{time.strftime('%X')} {way}: {runs.count} runs so far", flush=True)
            with (options.results / "results").open("a") as file:
                file.write(f"{json.dumps(result)}\n")


if __name__ == "__main__":
    main()
