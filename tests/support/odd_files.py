"""Trees of files of /proc and /sys in which anything may be odd: content, kind, permission."""

import contextlib
import resource
import shutil
from pathlib import Path

from hypothesis import strategies as st

from ksmtrace.doctor.checks import run_checks
from ksmtrace.kernel.distribution import read_distribution
from ksmtrace.kernel.features import FEATURES, has_feature
from ksmtrace.kernel.host import find_ksmd, read_build_id
from ksmtrace.kernel.mergeable import find_mergeable
from ksmtrace.kernel.privileges import missing_capabilities, read_lockdown
from ksmtrace.kernel.processes import read_cgroup, read_ksm_stat, read_rest, read_vm
from ksmtrace.kernel.symbols import read_ranges
from ksmtrace.kernel.sysfs import CounterReader, has_counter, has_ksm, read_tunables

ABSENT, DIRECTORY, LOOP, FAILING = "absent", "directory", "loop", "failing"

NUMBERS = st.one_of(
    st.integers(-(1 << 70), 1 << 70).map(str),
    st.sampled_from(
        [
            "18446744073709551615",
            "-9223372036854775809",
            "1e5",
            "0x10",
            "٣",
            "²",
            "--1",
            " 7",
            "7\t",
        ]
    ),
)

USUAL = {
    "sys/kernel/mm/ksm/run": b"1\n",
    "sys/kernel/mm/ksm/advisor_mode": b"[none] scan-time\n",
    "sys/kernel/mm/ksm/sleep_millisecs": b"20\n",
    "sys/kernel/mm/ksm/pages_shared": b"3\n",
    "sys/kernel/mm/ksm/pages_sharing": b"4\n",
    "sys/kernel/mm/ksm/general_profit": b"-4096\n",
    "sys/kernel/notes": b"\4\0\0\0\4\0\0\0\3\0\0\0GNU\0abcd",
    "sys/kernel/security/lockdown": b"[none] integrity confidentiality\n",
    "sys/bus/event_source/devices/kprobe/type": b"8\n",
    "etc/os-release": b"ID=debian\nVERSION_ID=12\n",
    "proc/vmstat": b"nr_free_pages 1\ncow_ksm 77\n",
    "proc/kallsyms": b"ffffffff81000010 t break_cow\nffffffff81000020 t break_cow.isra.0\n",
    "proc/sys/kernel/kptr_restrict": b"1\n",
    "proc/self/status": b"Name:\tx\nCapEff:\t000001ffffffffff\n",
    "proc/41/stat": b"41 (ksmd) S 2 0 0\n",
    "proc/41/schedstat": b"123456789 5 6\n",
    "proc/41/status": b"Name:\tksmd\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t812\n",
    "proc/50/stat": b"50 (a) b) S 1 0 0\n",
    "proc/50/maps": b"7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n"
    b"7f0000002000-7f0000003000 r--s 00000000 08:01 77 /tmp/\xff\xfe name\n",
    "proc/50/smaps": b"7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n"
    b"Rss: 8 kB\nVmFlags: rd mg\n",
    "proc/50/pagemap": b"\0" * 64,
    "proc/50/cgroup": b"0::/machine.slice/b\n",
    "proc/50/cmdline": b"qemu-system-x86_64\0-name\0guest=web\0",
    "proc/50/ksm_stat": b"ksm_rmap_items 5\nksm_zero_pages 1\nksm_mergeable: yes\n",
    "proc/50/ksm_merging_pages": b"2\n",
    "proc/kpageflags": b"\0" * 64,
    "proc/kpagecount": b"\0" * 64,
}
"""Every file that ksmtrace reads, as a kernel has it."""


def contents(usual: bytes) -> st.SearchStrategy:
    """What a file may turn out to be: bytes, or a kind of failure."""
    words = usual.split(b" ")

    def with_number(at: int, number: str) -> bytes:
        return b" ".join([*words[:at], number.encode(), *words[at + 1 :]])

    def with_bytes(at: int, more: bytes) -> bytes:
        return usual[:at] + more + usual[at:]

    return st.one_of(
        st.sampled_from([ABSENT, DIRECTORY, LOOP, FAILING, b"", b"\n", usual]),
        st.binary(max_size=64),
        NUMBERS.map(lambda number: number.encode() + b"\n"),
        st.builds(with_number, st.integers(0, len(words) - 1), NUMBERS),
        st.builds(with_bytes, st.integers(0, len(usual)), st.binary(min_size=1, max_size=8)),
        st.integers(0, len(usual)).map(lambda size: usual[:size]),
    )


@st.composite
def trees(draw):
    """A tree of which up to six files are odd: path to content."""
    odd = draw(st.lists(st.sampled_from(sorted(USUAL)), max_size=6, unique=True))
    return USUAL | {path: draw(contents(USUAL[path])) for path in odd}


def write(root: Path, tree: dict) -> Path:
    """Make the tree below `root`, which is emptied first."""
    for old in ("sys", "proc", "etc"):
        shutil.rmtree(root / old, ignore_errors=True)
    for name, content in tree.items():
        path = root / name
        if content == ABSENT:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if content == DIRECTORY:
            path.mkdir()
        elif content == LOOP:
            path.symlink_to(path.name)
        elif content == FAILING:
            path.symlink_to("/proc/self/mem")  # opens, and gives EIO at its beginning
        else:
            path.write_bytes(content)
    return root


@contextlib.contextmanager
def no_descriptors():
    """Every file fails to open with EMFILE."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_everything(root):
    """What every reader says, by its name."""
    return {
        "counters": CounterReader(root, 41).read(),
        "tunables": read_tunables(root),
        "has": (has_ksm(root), has_counter("cow_ksm", root)),
        "ksmd": find_ksmd(root),
        "build_id": read_build_id(root),
        "mergeable": find_mergeable(root),
        "cgroup": read_cgroup(50, root),
        "vm": read_vm(50, root=root),
        "ksm_stat": read_ksm_stat(50, root),
        "rest": read_rest(41, root),
        "lockdown": read_lockdown(root),
        "missing": missing_capabilities(root),
        "distribution": read_distribution(root),
        "symbols": read_ranges({"break_cow"}, root),
        "features": [has_feature(feature, None, root) for feature in FEATURES],
        "checks": [check.name for check in run_checks(read_distribution(root), root)],
    }
