"""Fuzzes a target: `python -m fuzz.run NAME SECONDS [FOLDER]`, with tests/ on the path.

New inputs that reach new code go to FOLDER, if there is one. What goes wrong is written to
`found/NAME`, and ends the run with a status other than 0.

Long runs are rounds of a process each, with what the others found: libFuzzer and atheris grow by
themselves, and what is watched is how much an input takes.
"""

import os
import resource
import sys
import tempfile
import time

import atheris

from fuzz import FOLDER, MOST_GROWTH_MIB, MOST_SECONDS, load

_INSTRUMENTED = ["ksmtrace", "h11", "yaml", "tomllib", "elftools"]
_ROUND_SECONDS = 120


def main(name, seconds, folder):
    """Fuzz in rounds; returns the status of the last, which is not 0 if it found something."""
    end = time.monotonic() + seconds
    while (left := round(end - time.monotonic())) > 0:
        child = os.fork()
        if child == 0:
            fuzz(name, min(left, _ROUND_SECONDS), folder)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            return status
    return 0


def fuzz(name, seconds, folder):
    """Fuzz in this process, which ends then."""
    with atheris.instrument_imports(include=_INSTRUMENTED):
        target = load(name).target
    target(b"")
    found = FOLDER / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    atheris.Setup(
        [
            *(sys.argv[0], f"-max_total_time={seconds}", f"-timeout={MOST_SECONDS}"),
            *(f"-rss_limit_mb={used + MOST_GROWTH_MIB}", f"-artifact_prefix={found}/"),
            *("-print_final_stats=1", "-verbosity=0", "-max_len=65536"),
            *(folder, str(FOLDER / "corpus" / name)),
        ],
        target,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    given = sys.argv[3] if len(sys.argv) > 3 else tempfile.mkdtemp(prefix="ksmtrace-fuzz-")
    sys.exit(main(sys.argv[1], int(sys.argv[2]), given))
