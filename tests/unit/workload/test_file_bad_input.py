"""Bad workload files: one line that names the step, quickly, whatever their size."""

import os
import resource
import subprocess
import sys
import time

import pytest

from support.command import assert_one_line, ksmtrace

HEAD = 'name = "w"\n'


def steps(*rows):
    """Steps written as `op key=value …`."""
    text = HEAD
    for row in rows:
        op, *keys = row.split()
        text += f'[[step]]\nop = "{op}"\n' + "".join(
            key.replace("=", " = ", 1) + "\n" for key in keys
        )
    return text


A = 'spawn process="a"'
R = 'map process="a" region="r" pages=10'
ON_R = 'process="a" region="r"'

CASES = {
    "unknown op": (steps(A, "frobnicate"), "step 1", "frobnicate", "spawn"),
    "op is no string": (steps(A) + "[[step]]\nop = 3\n", "step 1", "3"),
    "no op": (steps(A) + "[[step]]\n", "step 1", "'op'"),
    "unknown region": (steps(A, R, 'fill process="a" region="x" content="zero"'), "step 2", "'x'"),
    "region of another process": (
        steps(A, R, 'spawn process="b"', 'read process="b" region="r"'),
        *("step 3", "'b'", "'r'"),
    ),
    "unknown tunable": (steps("set tunables={nonsense=1}"), "step 0", "nonsense", "smart_scan"),
    "unknown initial tunable": (HEAD + "[tunables]\nx = 1\n", "tunables", "'x'"),
    "run as a tunable": (steps("set tunables={run=1}"), "step 0", "op"),
    "tunable is a string": (steps('set tunables={smart_scan="1"}'), "step 0", "integer"),
    "EINVAL": (steps("set tunables={max_page_sharing=1}"), "step 0", "EINVAL", "2"),
    "EINVAL of a flag": (steps("set tunables={use_zero_pages=2}"), "step 0", "EINVAL"),
    "ERANGE": (steps(f"set tunables={{max_page_sharing={2**31}}}"), "step 0", "ERANGE"),
    "huge number": (
        steps(f"set tunables={{pages_to_scan=0x{'f' * 6000}}}"),
        *("step 0", "thousands of digits"),
    ),
    "number of too many digits": (steps(f"scan passes={'9' * 6000}"), "digits"),
    "advisor": (steps('set tunables={advisor_mode="scan-time"}'), "step 0", "time"),
    "past the end": (steps(A, R, f"read {ON_R} first=5 pages=6"), "step 2", "5 to 10", "10"),
    "behind the end": (steps(A, R, f"read {ON_R} first=10"), "step 2", "10 pages"),
    "negative first": (steps(A, R, f"read {ON_R} first=-1"), "step 2", "-1"),
    "no pages": (steps(A, R, f"read {ON_R} pages=0"), "step 2", "0"),
    "negative pages": (steps(A, 'map process="a" region="r" pages=-5'), "step 1", "-5"),
    "overlaps what is unmapped": (
        steps(A, R, f"unmap {ON_R} first=3 pages=4", f'fill {ON_R} pages=5 content="zero"'),
        *("step 3", "0 to 4", "not all mapped"),
    ),
    "unmapped twice": (
        steps(A, R, f"unmap {ON_R}", f"unmap {ON_R} first=9"),
        *("step 3", "not all mapped"),
    ),
    "region name twice": (steps(A, R, R), "step 2", "twice"),
    "region name of the parent": (
        steps(A, R, 'fork process="a" child="b"', 'map process="b" region="r" pages=1'),
        *("step 3", "twice"),
    ),
    "process name twice": (steps(A, A), "step 1", "twice"),
    "name of one that exited": (steps(A, 'exit process="a"', A), "step 2", "twice"),
    "touches one that exited": (steps(A, R, 'exit process="a"', R), "step 3", "has exited"),
    "exits twice": (steps(A, 'exit process="a"', 'exit process="a"'), "step 2", "has exited"),
    "own parent": (steps(A, 'fork process="a" child="a"'), "step 1", "twice"),
    "cyclic fork": (
        steps('fork process="a" child="b"', 'fork process="b" child="a"'),
        *("step 0", "'a' does not exist"),
    ),
    "run 1": (steps("run value=1"), "step 0", "scan"),
    "run 3": (steps("run value=3"), "step 0", "3"),
    "run true": (steps("run value=true"), "step 0", "True"),
    "scan of nothing": (steps("scan"), "step 0", "passes or batches"),
    "scan of both": (steps("scan passes=1 batches=1"), "step 0", "passes or batches"),
    "scan for ever": (
        steps("set tunables={pages_to_scan=0}", "scan passes=1"),
        "step 1",
        "no pass",
    ),
    "offset": (steps(A, R, f"poke {ON_R} offset=4096 value=1"), "step 2", "4096"),
    "value": (steps(A, R, f"poke {ON_R} offset=0 value=256"), "step 2", "256"),
    "content": (steps(A, R, f'fill {ON_R} content="unique:{2**32}"'), "step 2", "below"),
    "too many pages": (
        steps(A, *[f'map process="a" region="r{i}" pages=4194304' for i in range(2)]),
        *("step 2", "4194304 pages"),
    ),
    "too many processes": (steps(*[f'spawn process="{i}"' for i in range(257)]), "step 256", "256"),
    "step is a table": (HEAD + "[step]\nop = 1\n", "steps"),
    "step is a number": (HEAD + "step = [1]\n", "step 0", "'op'"),
    "no steps": (HEAD, "steps"),
    "no name": ("[[step]]\nop = 'scan'\npasses = 1\n", "name"),
    "name of two lines": ('name = "a\\nb"\n', "name"),
    "unknown key": (HEAD + "x = 1\n", "'x'"),
    "unknown variant": (HEAD + 'variant = "ksm-9"\n' + steps(A)[len(HEAD) :], "ksm-9", "pksm"),
    "tunables are a number": (HEAD + "tunables = 1\n", "tunables"),
    "not TOML": ("name == 1", "TOML", "line 1"),
    "key twice": (HEAD + HEAD, "TOML", "line 2"),
    "nested": (HEAD + "x = " + "[" * 5000, "nested"),
    "tables nested": (HEAD + "x = " + "{a=" * 3000, "nested"),
    "long dotted key": (HEAD + "a" + ".a" * 100_000 + " = 1", "line 2", "longer"),
    "ten thousand steps": (HEAD + "[[step]]\n" * 10_001, "step 10000", "10000 steps"),
    "as one array": (HEAD + "step = [" + "1,\n" * 10_001 + "]", "step 10000", "10000 steps"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line(case, tmp_path):
    """Also with --on-kernel, where nothing must have been written, root or not."""
    text, *words = CASES[case]
    path = tmp_path / "w.toml"
    path.write_text(text)
    from ksmtrace.errors import KsmtraceError
    from ksmtrace.workload.file import load_workload

    started = time.monotonic()
    with pytest.raises(KsmtraceError) as caught:
        load_workload(path)
    assert time.monotonic() - started < 5
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    for word in (str(path), *words):
        assert word in message


def test_not_utf8(tmp_path):
    (tmp_path / "w.toml").write_bytes(b'name = "\xff"')
    assert_one_line(ksmtrace("simulate", tmp_path / "w.toml"), 2, "UTF-8")


def test_files_that_cannot_be_read(tmp_path):
    assert_one_line(ksmtrace("simulate", tmp_path / "none"), 2, "none", "no such file")
    assert_one_line(ksmtrace("simulate", tmp_path), 2, "directory")


def test_ten_million_steps(tmp_path):
    """Refused in a second and 100 MB, also where nothing tells the size in advance."""
    path = tmp_path / "w.toml"
    with path.open("w") as file:
        file.write(HEAD)
        for _ in range(100):
            file.write('[[step]]\nop = "spawn"\nprocess = "a"\n' * 100_000)

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))

    for source in (path, "/dev/zero"):
        started = time.monotonic()
        ran = ksmtrace("simulate", source, "--on-kernel", preexec_fn=limit)
        assert_one_line(ran, 2, "1048576 bytes", "10000 steps")
        assert time.monotonic() - started < 5
    path.unlink()  # 390 MB


@pytest.mark.parametrize(
    "arguments",
    [
        *[("--set", "smart_scan"), ("--set", "=1"), ("--set", "x="), ("--nonsense",), ()],
        ("--set", "pages_to_scan=1", "smart_scan"),
    ],
)
def test_usage(arguments, tmp_path):
    ran = ksmtrace("simulate", *([tmp_path / "w.toml", *arguments] if arguments else []))
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    assert ran.stdout == ""


def test_bad_options(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(steps("scan passes=1"))
    assert_one_line(ksmtrace("simulate", path, "--variant", "ksm-9"), 2, "ksm-9", "ksm-6.18")
    assert_one_line(ksmtrace("simulate", path, "--set", "smart_scan=7"), 2, "EINVAL")
    assert_one_line(ksmtrace("simulate", path, "--set", "smart_scan=off"), 2, "integer")
    assert_one_line(ksmtrace("simulate", path, "--set", "x=7"), 2, "'x'")


def test_on_kernel_needs_root(tmp_path):
    path = tmp_path / "w.toml"
    path.write_text(steps("scan passes=1"))
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    as_user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    code = "import sys; from ksmtrace.cli import main; sys.exit(main(sys.argv[1:]))"
    with path.open("rb") as file:
        try:
            ran = subprocess.run(
                [sys.executable, "-c", code, "simulate", "/dev/stdin", "--on-kernel"],
                stdin=file, capture_output=True, text=True, check=False, **as_user,
            )  # fmt: skip
        except PermissionError:
            pytest.skip("needs a Python that other users may run")
    assert_one_line(ran, 3, "root", "sudo")
