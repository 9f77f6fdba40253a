"""Makes the present answers of `replay` to the bundled capture the expected ones.

Rewrites tests/replay/data/*.json and *.prom, without a guest, and prints what changed, to be read
before it is committed. That a live run answers the same is tested in the guests.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from support.exposition import OF_THE_RUN

REPOSITORY = Path(__file__).parent.parent
DATA = REPOSITORY / "tests/replay/data"


def accept(capture: Path) -> None:
    """Rewrite the expected document and metrics of one capture."""
    document, metrics = Path(f"{capture}.json"), Path(f"{capture}.prom")
    with tempfile.TemporaryDirectory() as folder:
        program = Path(sys.executable).parent / "ksmtrace"
        command = [str(program), "replay", str(capture), "--json", "--textfile", folder]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        exposed = (Path(folder) / "ksmtrace.prom").read_text()
    before = json.loads(document.read_text())
    answered = json.loads(ran.stdout) | {key: before[key] for key in ("source", "version")}
    document.write_text(json.dumps(answered, indent=2))
    metrics.write_text(_of_that_run(exposed, metrics.read_text()))


def _of_that_run(exposed: str, before: str) -> str:
    """The metrics, where those that differ from run to run are the recorded run's."""
    recorded = {_series(line): line for line in before.splitlines()}
    lines = [
        recorded.get(_series(line), line) if line.startswith(tuple(OF_THE_RUN)) else line
        for line in exposed.splitlines()
    ]
    return "\n".join(lines) + "\n"


def _series(line: str) -> str:
    return line.rpartition(" ")[0]


if __name__ == "__main__":
    for answer in sorted(DATA.glob("*.ksmtrace.json")):
        accept(answer.with_suffix(""))
    changed = ["git", "--no-pager", "diff", "--stat", "--", str(DATA)]
    sys.exit(subprocess.run(changed, cwd=REPOSITORY, check=False).returncode)
