"""Fuzzes a target: `python -m fuzz.run NAME SECONDS [FOLDER]`, with tests/ on the path.

New inputs that reach new code go to FOLDER, if there is one. What goes wrong is written to
`found/NAME`, and ends the run with a status other than 0.
"""

import resource
import sys
import tempfile

import atheris

from fuzz import FOLDER, MOST_GROWTH_MIB, MOST_SECONDS, load

_INSTRUMENTED = ["ksmtrace", "h11", "yaml", "tomllib", "elftools"]


def main(name, seconds, folder):
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
    main(sys.argv[1], int(sys.argv[2]), given)
