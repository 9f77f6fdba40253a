"""Boots a Debian kernel under emulation over this machine's own root file system, and runs a
command in it.

    .venv/bin/python tests/vm/guest.py 6.1                     all guest tests
    .venv/bin/python tests/vm/guest.py 6.1 -- ksmtrace doctor  any command
    .venv/bin/python tests/vm/guest.py --icount 6.1 -- ...     one processor, whose time is
                                                               instructions executed
    .venv/bin/python tests/vm/guest.py --nodes 2 6.1 -- ...    its memory is on two NUMA nodes
    .venv/bin/python tests/vm/guest.py --cpus 1 6.1 -- ...     one processor, which its scheduler
                                                               shares out, and not the emulator
    .venv/bin/python tests/vm/guest.py --examples 0.3 6.12     fewer rounds, and no slow tests
    .venv/bin/python tests/vm/guest.py --limit 7200 5.10       killed after two hours instead of one

The command's output goes to stdout, its exit status is ours. What it is to keep it writes below
$OUT.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from kernels import install, kernels

REPOSITORY = Path(__file__).parent.parent.parent
OUT = REPOSITORY / ".vm"
BIN = Path(sys.executable).parent
TESTS = [
    str(BIN / "pytest"), "tests/live", "--in-guest", "-p", "no:cacheprovider", "-q", "-s",
    "--durations=12", "--capture-to", "/dev/shm/everything.ksmtrace",
]  # fmt: skip
LIMIT_SECONDS = 3600
MOVABLE = "1G"
BOOTS = 3
"""How often a guest is booted that dies before it comes to the command: under emulation that
happens now and then."""


# vng mounts the root without a cache: every import reads every file again, 26 s where it takes 9.
_READ_ONCE = f"""mkdir -p /run/cached /run/out
mount -t 9p -o ro,trans=virtio,version=9p2000.L,cache=loose,msize=512000 cached /run/cached
mount --bind {OUT} /run/out
mount --bind /run/cached/usr /usr
mount --bind /run/cached{REPOSITORY} {REPOSITORY}
mount --bind /run/out {OUT}
"""
"""Puts what the guest only reads under a mount that keeps what it has read."""


def boot(release: str, command: list[str], options: argparse.Namespace) -> int:
    """Run `command` in a guest of that kernel, as root in the repository; returns its exit status,
    125 if it has none."""
    OUT.mkdir(exist_ok=True)
    for attempt in range(1, BOOTS + 1):
        with tempfile.TemporaryDirectory(dir=OUT) as scratch:
            status, log = (Path(scratch) / name for name in ("status", "log"))
            console = _run(release, command, Path(scratch), options)
            if status.exists():
                print(log.read_text(errors="replace"), flush=True)
                return int(status.read_text())
            if log.exists():
                print(log.read_text(errors="replace"))
                print(f"the guest died while the command ran; its console:\n{console}", flush=True)
                return 125
        print(f"the guest did not boot (attempt {attempt} of {BOOTS}); its console:\n{console}")
    return 125


def _run(release: str, command: list[str], scratch: Path, options: argparse.Namespace) -> str:
    """Boot once; returns the end of what the guest's console and vng said."""
    script, compiled = scratch / "run.sh", scratch / "compiled"
    compiled.mkdir()
    scratch.chmod(0o711)  # what a guest asks for it may ask for as anybody
    compiled.chmod(0o777)
    script.write_text(
        f"{_READ_ONCE}ulimit -l unlimited\n"
        f"export HOME={scratch} OUT={OUT} TMPDIR=/dev/shm PYTHONDONTWRITEBYTECODE=1\n"
        f"export COMPILE_IN={compiled}\n"
        f"cd {REPOSITORY}\n{shlex.join(command)} >{scratch}/log 2>&1 </dev/null\n"
        f"echo $? >{scratch}/status\n"
    )
    environment = {**os.environ, "PATH": f"{BIN}:/usr/sbin:/sbin:{os.environ['PATH']}"}
    processors = 1 if options.icount else options.cpus
    machine = [
        "--memory", "3G", "--cpus", str(processors), "--disable-microvm", "--disable-kvm",
        "--user", "root", "--rwdir", str(OUT),
    ]  # fmt: skip
    run = [str(BIN / "vng"), "--verbose", "-r", release, *machine]
    # With a thread for each processor QEMU 7.2 runs stale code now and then: a kernel that patches
    # itself, as it does whenever a probe attaches, then dies of an int3 in __schedule. Its AVX2 is
    # wrong: numpy sorts with it, and np.unique then returns values twice.
    emulation = "-machine mem-merge=off -accel tcg,thread=single -cpu max,avx=off,avx2=off"
    emulation += (
        " -virtfs local,path=/,mount_tag=cached,security_model=none,readonly=on,multidevs=remap"
    )
    # memory of processes alone, so that it can be taken offline
    run.append(f"--append=movablecore={MOVABLE}")
    if options.nodes > 1:
        run.append(f"--append=numa=fake={options.nodes}")
    clock = " -icount shift=0,sleep=off" if options.icount else ""
    run += [f"--qemu-opts={emulation}{clock}", "--exec", f"bash {script}"]
    compiler = [sys.executable, str(Path(__file__).parent / "compiler.py"), str(compiled)]
    with (
        subprocess.Popen(compiler, stdin=subprocess.PIPE),
        subprocess.Popen(
            run,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        ) as vng,
    ):
        try:
            said = vng.communicate(timeout=options.limit)[0]
            ended = f"vng ended with status {vng.returncode}"
        except subprocess.TimeoutExpired:
            ended = f"no answer within {options.limit} s"
            os.killpg(vng.pid, signal.SIGKILL)  # vng alone would leave its qemu behind
            said = vng.communicate()[0]
        except BaseException:
            os.killpg(vng.pid, signal.SIGKILL)
            raise
    return f"{said[-4000:].decode(errors='replace')}\n{ended}"


def main() -> int:
    """Boot what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel", choices=sorted(kernels()))
    parser.add_argument("--icount", action="store_true", help="time is instructions executed")
    parser.add_argument("--nodes", type=int, default=1, help="NUMA nodes, feigned by the kernel")
    parser.add_argument("--cpus", type=int, default=2, metavar="N")
    parser.add_argument(
        "--examples", default="1", metavar="SHARE", help="of the rounds of the guest tests"
    )
    parser.add_argument("--limit", type=int, default=LIMIT_SECONDS, metavar="SECONDS")
    parser.add_argument("command", nargs="*", help="instead of the guest tests")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    release = install(kernels()[options.kernel])
    command = options.command or [*TESTS, "--examples", options.examples]
    return boot(release, command, options)


if __name__ == "__main__":
    sys.exit(main())
