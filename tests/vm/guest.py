"""Boots a Debian kernel under emulation over this machine's own root file system, and runs a command in it.

    .venv/bin/python tests/vm/guest.py 6.1                     all guest tests
    .venv/bin/python tests/vm/guest.py 6.1 -- ksmtrace doctor  any command

The command's output goes to stdout, its exit status is ours. What it is to keep it writes below $OUT.
"""

import argparse
import os
import shlex
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
    "--capture-to", str(OUT / "everything.ksmtrace"),
]  # fmt: skip
LIMIT_SECONDS = 1500


def boot(release: str, command: list[str]) -> int:
    """Run `command` in a guest of that kernel, as root in the repository; returns its exit status."""
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUT) as scratch:
        status, log, script = (Path(scratch) / name for name in ("status", "log", "run.sh"))
        script.write_text(
            f"ulimit -l unlimited\nexport HOME={scratch} OUT={OUT} TMPDIR=/dev/shm PYTHONDONTWRITEBYTECODE=1\n"
            f"cd {REPOSITORY}\n{shlex.join(command)} >{log} 2>&1 </dev/null\necho $? >{status}\n"
        )
        environment = {**os.environ, "PATH": f"{BIN}:/usr/sbin:/sbin:{os.environ['PATH']}"}
        machine = [
            "--memory",
            "3G",
            "--cpus",
            "2",
            "--disable-microvm",
            "--disable-kvm",
            "--user",
            "root",
        ]
        run = [str(BIN / "vng"), "-r", release, *machine, "--rwdir", str(OUT)]
        run += ["--qemu-opts=-machine mem-merge=off", "--exec", f"bash {script}"]
        booted = subprocess.run(
            run,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        if not status.exists():
            print(
                "the guest did not boot:",
                booted.stderr.decode(errors="replace")[-2000:],
                flush=True,
            )
            return 125
        print(log.read_text(errors="replace"), flush=True)
        return int(status.read_text())


def main() -> int:
    """Boot what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel", choices=sorted(kernels()))
    parser.add_argument("command", nargs="*", help="instead of the guest tests")
    options = parser.parse_args()
    return boot(install(kernels()[options.kernel]), options.command or TESTS)


if __name__ == "__main__":
    sys.exit(main())
