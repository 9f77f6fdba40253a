"""Tunables that are read now and then."""

from ksmtrace.events.tunable import tunable_writes
from ksmtrace.kernel.sysfs import read_tunables
from ksmtrace.sources.live.tunables_reader import TunablesReader


def test_what_has_changed_since_the_last_look(tmp_path):
    ksm = tmp_path / "sys/kernel/mm/ksm"
    ksm.mkdir(parents=True)
    (ksm / "run").write_text("0\n")
    (ksm / "advisor_mode").write_text("[none] scan-time\n")
    (ksm / "max_page_sharing").write_text("256\n")
    reader = TunablesReader(read_tunables(tmp_path), tmp_path)
    assert len(reader.changed()) == 0
    (ksm / "run").write_text("1\n")
    (ksm / "advisor_mode").write_text("none [scan-time]\n")
    found = tunable_writes(reader.changed())
    assert [(one.name, one.text, one.err) for one in found] == [
        ("run", "1", 0),
        ("advisor_mode", "scan-time", 0),
    ]
    assert all(one.ts > 0 for one in found)
    assert len(reader.changed()) == 0
