"""Gives a target every file that is kept of it: `python -m fuzz.again NAME`; no atheris needed.

Prints how many there were, and by how many MiB memory has grown.
"""

import resource
import sys

from fuzz import kept, load


def peak_mib():
    """Of resident memory, of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(name):
    target = load(name).target
    target(b"")
    before, count = peak_mib(), 0
    for path in kept(name):
        try:
            target(path.read_bytes())
        except BaseException as error:
            error.add_note(f"given {path}")
            raise
        count += 1
    print(count, round(peak_mib() - before))


if __name__ == "__main__":
    main(sys.argv[1])
