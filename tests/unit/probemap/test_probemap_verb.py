"""`ksmtrace probemap`: its file and output; bad input gives one line, status 2 and no file."""

import os
import signal
import struct
import subprocess

import pytest

from ksmtrace import cli
from ksmtrace.probemap.format import ProbeMap

SOURCE = """
struct page { long flags; };
volatile long sink;
static void replace_page(long *vma, struct page *page) { sink = page->flags; sink = *vma; }
int __ksm_enter(long vma, struct page *page) { sink = 1; replace_page(&vma, page); return sink; }
int main(void) { struct page page = { 3 }; return __ksm_enter(1, &page) & 0; }
"""
E_MACHINE, AARCH64 = 18, 183


def build(folder, *flags, source=SOURCE, name="mm/ksm.c"):
    """An ELF file made by gcc from a source file of that name."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(source)
    command = ["gcc", "-g", "-O2", "-no-pie", "-Wl,--build-id", *flags, name, "-o", "vmlinux"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    return folder / "vmlinux"


@pytest.fixture(scope="module")
def vmlinux(tmp_path_factory):
    """A good one."""
    return build(tmp_path_factory.mktemp("good"))


def run(monkeypatch, *arguments):
    """Exit status of the command line."""
    monkeypatch.setattr(cli, "VERBS", tuple(dict.fromkeys((*cli.VERBS, "probemap"))))
    return cli.main(["probemap", *map(str, arguments)])


@pytest.fixture
def refused(monkeypatch, capsys, tmp_path):
    """Checks that the command refuses a vmlinux, and with which words."""

    def check(path, *words, output=tmp_path / "out.json"):
        before = sorted(os.listdir(tmp_path))
        assert run(monkeypatch, path, "-o", output) == 2
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith("ksmtrace: ")
        for word in words:
            assert word in line
        assert sorted(os.listdir(tmp_path)) == before

    return check


def test_it_writes_a_map_and_says_what_is_in_it(monkeypatch, capsys, tmp_path, vmlinux):
    output = tmp_path / "map.json"
    assert run(monkeypatch, vmlinux, "-o", output) == 0
    made = ProbeMap.load(output)
    assert list(made.functions) == ["replace_page"]
    out, err = capsys.readouterr()
    assert err == ""
    assert made.build_id in out
    assert "replace_page " in out
    assert f"__ksm_enter+{made.functions['replace_page'][0].offset:#x} vma=" in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_help(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--help")
    assert ended.value.code == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


@pytest.mark.parametrize("arguments", [(), ("x",), ("-o", "y")])
def test_usage(monkeypatch, capsys, arguments):
    assert run(monkeypatch, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "required: " in line or "expected one argument" in line


def test_no_such_file_or_no_file(refused, tmp_path):
    refused(tmp_path / "none", "no such file", str(tmp_path / "none"))
    refused(tmp_path, "directory")


@pytest.mark.parametrize("content", [b"", b"\x7fEL", b"#!/bin/sh\n" * 100])
def test_not_an_elf_file(refused, tmp_path, content):
    (tmp_path / "x").write_bytes(content)
    refused(tmp_path / "x", "not an ELF file")


def test_the_image_that_is_booted(refused, tmp_path):
    (tmp_path / "vmlinuz").write_bytes(bytes(0x202) + b"HdrS" + bytes(1000))
    refused(tmp_path / "vmlinuz", "not an ELF file", "booted", "without debug info")


def test_no_debug_info(refused, tmp_path):
    """The package is named, with the release where it is known."""
    stripped = build(tmp_path, "-s")
    refused(stripped, "no debug info", "linux-image-RELEASE-dbg")
    named = stripped.rename(tmp_path / "vmlinux-6.1.0-9-amd64")
    refused(named, "linux-image-6.1.0-9-amd64-dbg")
    refused(build(tmp_path, "-g0"), "no debug info")


def test_another_machine(refused, tmp_path, vmlinux):
    content = bytearray(vmlinux.read_bytes())
    struct.pack_into("<H", content, E_MACHINE, AARCH64)
    (tmp_path / "x").write_bytes(content)
    refused(tmp_path / "x", "AArch64", "x86-64")


def test_no_ksm(refused, tmp_path):
    refused(build(tmp_path, source="int main(void) { return 0; }"), "no mm/ksm.c", "CONFIG_KSM")
    refused(build(tmp_path, name="other.c"), "no mm/ksm.c in its debug info")


def test_no_build_id(refused, tmp_path):
    refused(build(tmp_path, "-Wl,--build-id=none"), "no GNU build id")


@pytest.mark.parametrize("output", ["none/map", "."])
def test_output_is_not_writable(refused, tmp_path, vmlinux, output):
    refused(vmlinux, str(tmp_path), output=os.path.join(tmp_path, output))


def test_a_damaged_file_is_refused_or_read(tmp_path, vmlinux):
    """Cut, and with noise in each of its parts: a map or one error, in bounded time."""
    from random import Random

    from ksmtrace.errors import KsmtraceError
    from ksmtrace.probemap.dwarf import make_map

    def too_long(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_long)
    whole, random, outcomes = vmlinux.read_bytes(), Random(1), []
    for number in range(300):
        content = bytearray(whole[: random.randrange(len(whole))] if number % 3 == 0 else whole)
        for _ in range(number % 3 * 4):
            content[random.randrange(len(content))] = random.randrange(256)
        (tmp_path / "x").write_bytes(content)
        signal.setitimer(signal.ITIMER_REAL, 20)
        try:
            make_map(tmp_path / "x")
            outcomes.append("read")
        except KsmtraceError:
            outcomes.append("refused")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    assert outcomes.count("refused") > 90
    assert outcomes.count("read") > 90
