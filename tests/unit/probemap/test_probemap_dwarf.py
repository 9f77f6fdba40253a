"""Maps of small programs that gcc has inlined, against the running program and readelf."""

import ctypes
import os
import re
import shutil
import signal
import struct
import subprocess

import pytest

from ksmtrace.probemap.dwarf import make_map
from ksmtrace.probemap.format import LocationKind

SOURCE = r"""
typedef struct { unsigned long pte; } pte_t;
struct page { long flags; };
struct item { long head, node; unsigned oldchecksum; };
struct big { long a, b, c; };
volatile unsigned long truth[8];
volatile long sink;
__attribute__((noipa)) long opaque(long x) { return x * 3 + 1; }
__attribute__((noipa)) void next_item(struct item **item, long n)
{
    static struct item items[8];
    items[n].oldchecksum = n;
    *item = &items[n];
}
static int replace_page(struct page *vma, struct page *page, struct page *kpage, pte_t orig_pte)
{
    sink = opaque(orig_pte.pte) + kpage->flags;
    return opaque(page->flags) + vma->flags;
}
__attribute__((noipa)) int try_to_merge_one_page(struct page *vma, struct page *page,
                                                struct page *kpage)
{
    pte_t pte = { opaque(page->flags) };
    int err = -14;
    truth[0] = (long)vma, truth[1] = (long)page, truth[2] = (long)kpage, truth[3] = pte.pte;
    if (page != kpage)
        err = replace_page(vma, page, kpage, pte);
    sink = err;
    return err + 1;
}
static long
try_to_merge_two_pages(struct item *rmap_item, struct item *tree_rmap_item, struct big page)
{
    sink = opaque(page.a);
    sink = rmap_item->node + tree_rmap_item->node;
    return opaque(page.b + page.c) + tree_rmap_item->oldchecksum + rmap_item->oldchecksum;
}
static void cmp_and_merge_page(struct page *page, struct item *rmap_item, int unused)
{
    unsigned sum = opaque(page->flags);
    struct big big = { sum, sum + 1, opaque(sum) };
    long *node = &rmap_item->node + opaque(0) - 1;
    if (sum & 1)
        sink = try_to_merge_one_page(page + 1, page, page + 2);
    truth[0] = (long)rmap_item, truth[1] = (long)node - 8, truth[2] = big.a, truth[3] = big.b;
    sink = try_to_merge_two_pages(rmap_item, (struct item *)(node - 1), big);
    sink = rmap_item->oldchecksum;
}
static void stable_tree_search(struct page *page)
{
    /* costs no instruction: at one address there are two values */
    page = page + 1;
    sink = opaque(page->flags);
    sink = page[1].flags;
}
__attribute__((noipa)) int ksm_scan_thread(int passes)
{
    static struct page pages[16];
    struct item *item;
    for (int n = 0; n < passes; n++) {
        pages[n].flags = n;
        next_item(&item, n);
        truth[0] = (long)&pages[n], truth[1] = (long)item;
        cmp_and_merge_page(&pages[n], item, 5);
        struct page *page = &pages[n];
        truth[0] = (long)page;
        asm volatile("" : "+r"(page));
        stable_tree_search(page);
    }
    return sink;
}
__attribute__((noipa)) void break_cow(long a, int b, char c, pte_t d, long e, long f, long g)
{
    truth[0] = a, truth[1] = b, truth[2] = c, truth[3] = d.pte;
    truth[4] = e, truth[5] = f, truth[6] = g;
}
__attribute__((noipa)) void stable_tree_append(int a, struct big b, int c) { sink = a + b.a + c; }
int __ksm_enter(void) { return sink; }
int main(void)
{
    struct big big = { 1, 2, 3 };
    pte_t pte = { 1UL << 40 };
    break_cow(1L << 33, 1 << 30, 7, pte, -1, -2, -3);
    stable_tree_append(4, big, 5);
    return ksm_scan_thread(7) & 0;
}
"""
FLAGS = ("-g", "-O2", "-no-pie", "-fno-asynchronous-unwind-tables", "-Wl,--build-id")
TRACEME, PEEKDATA, POKEDATA, GETREGS, SETREGS, CONT, SINGLESTEP = 0, 2, 5, 12, 13, 7, 9
REGISTERS = [
    *(
        "r15",
        "r14",
        "r13",
        "r12",
        "bp",
        "bx",
        "r11",
        "r10",
        "r9",
        "r8",
        "ax",
        "cx",
        "dx",
        "si",
        "di",
    ),
    *("orig_ax", "ip", "cs", "flags", "sp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
]


def compile_program(folder, *flags, source=SOURCE, name="mm/ksm.c"):
    """An ELF file of `source`, which the debug info calls mm/ksm.c."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(source)
    command = ["gcc", *FLAGS, *flags, name, "-o", "program"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    return folder / "program"


class Traced:
    """A program under ptrace that stops wherever a breakpoint is."""

    def __init__(self, program, breakpoints):
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.ptrace.argtypes = [
            ctypes.c_long,
            ctypes.c_long,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self._libc.ptrace.restype = ctypes.c_long
        self._process = subprocess.Popen(
            [program],
            preexec_fn=lambda: self._libc.ptrace(TRACEME, 0, 0, 0),  # noqa: PLW1509 - no lock
        )
        self._pid = self._process.pid
        assert self._stopped()
        self._code = {address: self.word(address) for address in breakpoints}
        for address in breakpoints:
            self._trap(address)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def stops(self):
        """Address and registers each time that a breakpoint is reached."""
        while True:
            self._ptrace(CONT)
            if not self._stopped():
                return
            raw = ctypes.create_string_buffer(8 * len(REGISTERS))
            self._ptrace(GETREGS, 0, ctypes.addressof(raw))
            values = dict(zip(REGISTERS, struct.unpack("27Q", raw.raw), strict=True))
            values["ip"] -= 1
            yield values["ip"], values
            self._ptrace(POKEDATA, values["ip"], self._code[values["ip"]])
            back = ctypes.create_string_buffer(struct.pack("27Q", *values.values()))
            self._ptrace(SETREGS, 0, ctypes.addressof(back))
            self._ptrace(SINGLESTEP)
            assert self._stopped()
            self._trap(values["ip"])

    def word(self, address):
        """The 8 bytes of memory at an address."""
        return self._ptrace(PEEKDATA, address) & (1 << 64) - 1

    def _trap(self, address):
        self._ptrace(POKEDATA, address, self.word(address) & ~0xFF | 0xCC)

    def _ptrace(self, request, address=0, data=0):
        ctypes.set_errno(0)
        answer = self._libc.ptrace(request, self._pid, address, data)
        assert ctypes.get_errno() == 0, os.strerror(ctypes.get_errno())
        return answer

    def _stopped(self):
        _, status = os.waitpid(self._pid, 0)
        if os.WIFSTOPPED(status):
            assert os.WSTOPSIG(status) == signal.SIGTRAP
            return True
        self._process.returncode = os.waitstatus_to_exitcode(status)
        assert self._process.returncode == 0
        return False


def addresses(program):
    """Address of each symbol, by nm."""
    listed = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    return {
        words[2]: int(words[0], 16)
        for words in map(str.split, listed.splitlines())
        if len(words) == 3
    }


def value_of(traced, registers, location):
    """What a probe would read, as an unsigned number of the value's size."""
    value = registers[location.register] + location.offset & (1 << 64) - 1
    if location.kind is LocationKind.MEMORY:
        value = traced.word(value)
    return value & (1 << 8 * location.size_bytes) - 1


def run_and_compare(program, order):
    """Run it; returns how often each place was reached, and the arguments whose values were
    compared.

    Args:
        program: at each place, its array `truth` holds what the caller passes.
        order: for each function with one place, the arguments of which `truth` holds the values.
    """
    probe_map, symbols = make_map(program), addresses(program)
    places = {}
    for function in order:
        (site,) = probe_map.functions[function]
        places[symbols[site.symbol] + site.offset] = (function, site)
    hits, compared = dict.fromkeys(order, 0), {}
    with Traced(program, places) as traced:
        for address, registers in traced.stops():
            function, site = places[address]
            hits[function] += 1
            for number, name in enumerate(order[function]):
                location = site.arguments[name]
                if location is not None:
                    truth = traced.word(symbols["truth"] + 8 * number)
                    found = value_of(traced, registers, location)
                    assert found == truth & (1 << 8 * location.size_bytes) - 1, (
                        function,
                        name,
                        location,
                    )
                    compared[function, name] = location
    return hits, compared


@pytest.mark.parametrize("dwarf", ["-gdwarf-4", "-gdwarf-5"])
@pytest.mark.parametrize("level", ["-O2", "-O3", "-Os"])
def test_the_running_program_agrees(tmp_path, dwarf, level):
    """At each place the CPU stops once a call, and each location holds what the caller passed."""
    order = {
        "cmp_and_merge_page": ("page", "rmap_item"),
        "replace_page": ("vma", "page", "kpage", "orig_pte"),
        "try_to_merge_two_pages": ("rmap_item", "tree_rmap_item"),
        "stable_tree_search": ("page",),
    }
    program = compile_program(tmp_path, dwarf, level)
    hits, compared = run_and_compare(program, order)
    assert hits == dict.fromkeys(order, 7) | {"replace_page": 4}
    assert len(compared) >= 6
    assert ("stable_tree_search", "page") in compared
    assert all(
        sites[0].inlined for name, sites in make_map(program).functions.items() if name in order
    )


def test_readelf_agrees(tmp_path):
    """Every entry of an inlined function that readelf prints, and no other."""
    program = compile_program(tmp_path)
    text = subprocess.run(
        ["readelf", "--debug-dump=info", program], capture_output=True, text=True, check=True
    ).stdout
    theirs = re.findall(
        r"DW_TAG_inlined_subroutine\).*?DW_AT_entry_pc +: 0x([0-9a-f]+)", text, re.DOTALL
    )
    symbols = addresses(program)
    ours = [
        symbols[site.symbol] + site.offset
        for sites in make_map(program).functions.values()
        for site in sites
        if site.inlined
    ]
    assert sorted(ours) == sorted(int(entry, 16) for entry in theirs)
    assert len(ours) == 4


def test_functions_that_are_not_inlined(tmp_path):
    """They begin at their symbol, with arguments in the registers of the calling convention."""
    functions = make_map(compile_program(tmp_path)).functions
    (site,) = functions["break_cow"]
    assert (site.symbol, site.offset, site.inlined) == ("break_cow", 0, False)
    found = [
        at and (at.kind, at.register, at.offset, at.size_bytes) for at in site.arguments.values()
    ]
    registers = zip(("di", "si", "dx", "cx", "r8", "r9"), (8, 4, 1, 8, 8, 8), strict=True)
    assert found == [*(("register", name, 0, size) for name, size in registers), None]
    (site,) = functions["stable_tree_append"]
    assert [at and at.register for at in site.arguments.values()] == ["di", None, None]


@pytest.mark.parametrize("dwarf", ["-gdwarf-4", "-gdwarf-5"])
def test_a_function_with_another_signature(tmp_path, dwarf):
    """What the compiler cloned has another symbol, and its arguments are where DWARF says: one is
    on the stack."""
    source = """
    volatile unsigned long truth[8];
    volatile long sink;
    __attribute__((noinline)) static long
    break_ksm(int unused, long a, int b, long c, long d, long e, long f, long g)
    {
        sink = a + b;
        return a * b + c * d + e * f + g;
    }
    __attribute__((noipa)) int __ksm_enter(long n)
    {
        for (int i = 0; i < 8; i++)
            truth[i] = n + i;
        return break_ksm(5, n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6);
    }
    int main(void) { sink = __ksm_enter(1L << 40) + __ksm_enter(-9); return 0; }
    """
    program = compile_program(tmp_path, dwarf, source=source)
    hits, compared = run_and_compare(program, {"break_ksm": "abcdefg"})
    assert hits == {"break_ksm": 2}
    assert [at.kind for at in compared.values()] == ["register"] * 6 + ["memory"]
    (site,) = make_map(program).functions["break_ksm"]
    assert site.symbol.startswith("break_ksm.")
    assert (site.offset, site.inlined, site.arguments["unused"]) == (0, False, None)


def test_facts_of_the_build(tmp_path):
    """Build id as readelf prints it; the release from linux_banner, else from the name of the
    file."""
    banner = 'const char linux_banner[] = "Linux version 6.1.0-99-amd64 (x) #1\\n";'
    program = compile_program(tmp_path, source=SOURCE + banner)
    noted = subprocess.run(
        ["readelf", "-n", program], capture_output=True, text=True, check=True
    ).stdout
    made = make_map(program)
    assert f"Build ID: {made.build_id}\n" in noted
    assert (made.release, made.machine) == ("6.1.0-99-amd64", "x86_64")
    program = compile_program(tmp_path)
    assert make_map(program).release == ""
    assert make_map(program.rename(tmp_path / "vmlinux-5.4.0-1-x")).release == "5.4.0-1-x"


@pytest.mark.parametrize("flag", ["-gz=zlib", "-fno-inline"])
def test_other_ways_to_build(tmp_path, flag):
    """Compressed sections; nothing inlined."""
    plain = make_map(compile_program(tmp_path)).functions
    other = make_map(compile_program(tmp_path, flag)).functions
    if flag == "-fno-inline":
        assert not any(site.inlined for sites in other.values() for site in sites)
        assert other.keys() == plain.keys()
    else:
        assert other == plain


def test_without_address_ranges(tmp_path):
    """Clang writes no .debug_aranges: the compile unit is found by its name."""
    program = compile_program(tmp_path)
    before = make_map(program)
    subprocess.run(["objcopy", "-R", ".debug_aranges", program], check=True)
    assert make_map(program) == before


def test_a_function_that_cannot_be_probed_everywhere_is_left_out(tmp_path):
    """Of two functions of one name a kprobe finds only one; code that is freed after boot does not
    count."""
    other = (
        "static __attribute__((noipa)) int try_to_merge_one_page(void) { return 3; } "
        "int (*f)(void) = try_to_merge_one_page;"
    )
    (tmp_path / "other.c").write_text(other)
    functions = make_map(compile_program(tmp_path, "other.c")).functions
    assert "cmp_and_merge_page" in functions
    assert not {"replace_page", "try_to_merge_one_page"} & functions.keys()
    freed = SOURCE.replace("noipa)) int try_to", 'noipa, section(".init.text"))) int try_to')
    functions = make_map(compile_program(tmp_path, source=freed)).functions
    assert "cmp_and_merge_page" in functions
    assert not {"replace_page", "try_to_merge_one_page"} & functions.keys()
