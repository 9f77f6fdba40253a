"""Facts of a host, read from trees of files made for the test and from this machine."""

import struct
import subprocess
import sys
import types

import pytest

from ksmtrace.errors import HostError
from ksmtrace.events import Gauge
from ksmtrace.kernel import host
from ksmtrace.kernel.btf import VMLINUX, Btf
from ksmtrace.kernel.host import find_ksmd, import_bcc, read_build_id
from ksmtrace.kernel.symbols import read_ranges, read_symbols
from ksmtrace.kernel.sysfs import has_ksm, read_counters, read_tunables


@pytest.fixture
def root(tmp_path):
    """A host with KSM of 6.12, at a loss."""
    ksm = tmp_path / "sys/kernel/mm/ksm"
    ksm.mkdir(parents=True)
    for name, text in {
        "run": "1", "pages_to_scan": "100", "advisor_mode": "none [scan-time]",
        "pages_shared": "3", "pages_sharing": "4", "general_profit": "-4096",
    }.items():  # fmt: skip
        (ksm / name).write_text(text + "\n")
    proc = tmp_path / "proc"
    for pid, comm, parent in ((30, "ksmd", 1), (41, "ksmd", 2), (50, "a) b", 2)):
        (proc / str(pid)).mkdir(parents=True)
        (proc / str(pid) / "stat").write_text(f"{pid} ({comm}) S {parent} 0 0\n")
    (proc / "41/schedstat").write_text("123456789 5 6\n")
    (proc / "vmstat").write_text("cow_ksm_not 1\ncow_ksm 77\n")
    (proc / "kallsyms").write_text(
        "ffffffff81000010 t break_cow\nffffffff81000020 t break_cow_other\n"
        "ffffffffa0000000 t break_ksm\t[module]\nffffffff81000030 d ksm_scan\n"
    )
    return tmp_path


def test_counters_and_tunables(root):
    assert read_tunables(root) == {"run": "1", "pages_to_scan": "100", "advisor_mode": "scan-time"}
    assert read_counters(root, 41) == {
        Gauge.PAGES_SHARED: 3,
        Gauge.PAGES_SHARING: 4,
        Gauge.GENERAL_PROFIT: -4096,
        Gauge.COW_KSM: 77,
        Gauge.KSMD_CPU_NS: 123456789,
        Gauge.PAGES_TO_SCAN: 100,
    }
    assert has_ksm(root)


def test_a_host_without_ksm(tmp_path):
    assert not has_ksm(tmp_path)
    assert read_tunables(tmp_path) == {}
    assert read_counters(tmp_path) == {}


def test_only_a_kernel_thread_is_ksmd(root):
    assert find_ksmd(root) == 41


def test_symbols_of_modules_do_not_count(root):
    found = read_symbols({"break_cow", "break_ksm", "ksm_scan", "cmp_and_merge_page"}, root)
    assert found == {"break_cow": 0xFFFFFFFF81000010, "ksm_scan": 0xFFFFFFFF81000030}


def test_a_symbol_ends_where_the_next_address_begins(tmp_path):
    (tmp_path / "proc").mkdir()
    listing = ("10 t one", "10 t alias", "18 T another", "20 d last")
    (tmp_path / "proc/kallsyms").write_text("\n".join(listing) + "\n")
    assert read_ranges({"one", "alias", "last"}, tmp_path) == {
        **dict.fromkeys(("one", "alias"), (0x10, 0x18)),
        "last": (0x20, 0),
    }


def test_build_id_among_other_notes(tmp_path):
    (tmp_path / "sys/kernel").mkdir(parents=True)
    other = struct.pack("<III", 6, 5, 1) + b"Linux\0\0\0" + b"12345\0\0\0"
    ours = struct.pack("<III", 4, 4, 3) + b"GNU\0" + bytes.fromhex("deadbeef")
    (tmp_path / "sys/kernel/notes").write_bytes(other + ours)
    assert read_build_id(tmp_path) == "deadbeef"
    assert read_build_id(tmp_path / "nowhere") == ""


def test_pypis_bcc_is_refused(monkeypatch):
    lattice = types.ModuleType("bcc")
    lattice.__file__ = "/site-packages/bcc.py"
    monkeypatch.setitem(sys.modules, "bcc", lattice)
    with pytest.raises(HostError, match="crystal-lattice") as caught:
        import_bcc()
    assert "\n" not in str(caught.value)


def test_missing_bcc_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "bcc", None)
    monkeypatch.setattr(host, "DISTRIBUTIONS_MODULES", ())
    with pytest.raises(HostError, match="apt-get install python3-bpfcc"):
        import_bcc()


def test_missing_btf_is_one_line(tmp_path):
    with pytest.raises(HostError, match="CONFIG_DEBUG_INFO_BTF"):
        Btf(tmp_path / "vmlinux")
    (tmp_path / "vmlinux").write_bytes(b"not BTF")
    with pytest.raises(HostError, match="cannot be read"):
        Btf(tmp_path / "vmlinux")


@pytest.mark.live
def test_offsets_equal_a_c_compilers(tmp_path):
    """gcc's offsetof over struct definitions that bpftool writes from the same BTF."""
    if not VMLINUX.exists():
        pytest.fail("this kernel has no BTF")
    header = tmp_path / "vmlinux.h"
    dumped = subprocess.run(
        ["bpftool", "btf", "dump", "file", str(VMLINUX), "format", "c"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    header.write_text(dumped.stdout)
    btf = Btf()
    wanted = [
        ("ksm_rmap_item", "head"), ("ksm_rmap_item", "address"), ("ksm_stable_node", "kpfn"),
        ("ksm_stable_node", "hlist"), ("ksm_mm_slot", "slot.mm"), ("ksm_scan", "seqnr"),
        ("mm_struct", "owner"), ("task_struct", "comm"), ("task_struct", "tgid"),
        ("mm_walk", "private"),
        ("vm_fault", "vma"), ("vm_fault", "orig_pte"), ("page", "mapping"),
    ]  # fmt: skip
    program = tmp_path / "offsets.c"
    lines = [f'P("%zu\\n", __builtin_offsetof(struct {s}, {m}));' for s, m in wanted]
    program.write_text(
        '#include "vmlinux.h"\nint printf(const char *, ...);\n#define P printf\n'
        "int main(void) {\n"
        + "\n".join(lines)
        + '\nP("%zu\\n%d\\n", sizeof(struct page), PG_head);\nreturn 0; }\n'
    )
    subprocess.run(["gcc", "-w", "-o", str(tmp_path / "offsets"), str(program)], check=True)
    printed = subprocess.run(
        [str(tmp_path / "offsets")], check=True, capture_output=True, text=True
    )
    ours = [btf.offset(*pair) for pair in wanted] + [btf.size("page")]
    ours.append(btf.enumerator("pageflags", "PG_head"))
    assert btf.enumerator("pageflags", "PG_nonsense") is None
    assert btf.enumerator("ksm_nonsense", "PG_head") is None
    btf.close()
    assert ours == [int(line) for line in printed.stdout.split()]


def test_an_unknown_member_is_one_line():
    if not VMLINUX.exists():
        pytest.skip("this kernel has no BTF")
    btf = Btf()
    with pytest.raises(HostError, match="no member 'nonsense'"):
        btf.offset("ksm_rmap_item", "nonsense")
    with pytest.raises(HostError, match="no struct ksm_nonsense"):
        btf.size("ksm_nonsense")
    btf.close()
